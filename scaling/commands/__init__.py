"""Commands of `python -m scaling`, one module each.

A command module has `add_arguments(parser)`, which adds its arguments, and `run(args)`, which does the work and returns
the exit status (scaling/config/exit_status.py). Some have two commands; `pack`, `schedule_runs` and the
sub-package `evaluation` are parts of `train` and `evaluate`. Heavy imports are inside functions, so that `--help`
answers at once.
"""
