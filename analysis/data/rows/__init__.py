"""Rows of a source: which of them are fitted, and how they depend on each other.

`states.finished_rows` leaves out runs that did not finish, `checkpoints` finds the run of each row and chooses final or
all checkpoints, and `replicates` combines runs that share their inputs.
"""
