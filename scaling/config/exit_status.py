"""Exit statuses of the commands of `scaling`, `sweeps` and `analysis`."""

DONE = 0
FAILED = 1  # the work failed for the reason in the last line on standard error
BAD_INPUT = 2  # nothing was done: the line names the input and what is allowed
CAPPED = 3  # a cap on FLOPs, hours or dollars was reached; finished runs are kept
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
STOPPED = 75  # stopped by a signal after saving: run the same command again (EX_TEMPFAIL of sysexits.h)
