"""Commands of `python -m scaling`, one file each: `add_arguments(parser)` and `run(args) -> exit status`."""
