"""The commands of `python -m analysis`, one module each: `add` adds the parser, `run` runs the command.

`options` defines the flags and `output` the output that several commands share; `studies` contains the commands of
analysis/studies and analysis/evals.
"""
