"""Exit statuses of the commands of `scaling`, `sweeps` and `analysis`."""

DONE = 0
FAILED = 1
BAD_INPUT = 2
CAPPED = 3
STOPPED = 75  # EX_TEMPFAIL of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

MEANINGS = {  # status: its name, its meaning, and what to do
    DONE: ("done", "The work is done. A run that diverged is a result and counts as done.", "Nothing."),
    FAILED: (
        "failed",
        "The work failed; the last line on standard error has the reason. Of a sweep: some runs failed.",
        "Remove the reason and run the same command again: finished work is kept.",
    ),
    BAD_INPUT: (
        "bad input",
        "Nothing was done; the error names the input and what is allowed.",
        "Correct the input. A scheduler must not repeat the command.",
    ),
    CAPPED: (
        "capped",
        "A cap on FLOPs, hours or dollars was reached; finished runs are kept.",
        "Raise the cap and run the same command again.",
    ),
    STOPPED: (
        "stopped",
        "Stopped by a signal (SIGTERM or Ctrl-C) after saving.",
        "Run the same command again: it continues where it was stopped.",
    ),
    INTERRUPTED: (
        "interrupted",
        "Ctrl-C in a command that has nothing to save.",
        "Run the command again.",
    ),
}
