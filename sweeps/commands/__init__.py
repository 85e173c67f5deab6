"""Commands of `python -m sweeps`, one module each.

A command module has `add(commands)`, which adds its parser, and `run(args)`, which does the work and returns the exit
status (scaling/config/exit_status.py). `options` has what several commands share. Heavy imports are inside functions,
so that `--help` answers at once.
"""
