"""Exit statuses of the commands of `scaling`, `sweeps` and `analysis`."""

DONE = 0
FAILED = 1  # the work failed; the last line on standard error has the reason
BAD_INPUT = 2  # nothing was done; the error names the input and what is allowed
CAPPED = 3  # a cap on FLOPs, hours or dollars was reached; finished runs are kept
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
STOPPED = 75  # stopped by a signal after saving; the same command continues (EX_TEMPFAIL of sysexits.h)
