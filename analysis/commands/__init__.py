"""The commands of `python -m analysis`, one file each: `add` adds the parser, `run` returns the exit status.

`options` has the flags that several commands share, `output` what several print; `studies` holds the commands of
analysis/studies and analysis/evals.
"""
