"""Training of one run: `loop.train` claims a run, compiles or reuses its program, trains it and writes its record.

`claim` acquires the lease and writes the running record, `checkpointing` restores and saves, `validation` evaluates,
`events` prints progress; `tracking` copies the curve to TensorBoard and Weights & Biases; `packs` trains several runs
of one shape as one program.
"""
