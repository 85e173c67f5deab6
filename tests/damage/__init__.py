"""Damages of every kind of file of a small store, and of the files that a command reads, against every command.

`damages` lists the damages, `commands` the commands; `case` runs one command on one damaged file and `outcome` judges
it: the output is that of the undamaged store, or that of the store without the damaged file, which is named on standard
error, or one line with exit status 2. Everything else is a fault. `store` writes the undamaged files, `process` runs a
command with limits, and `campaign` chooses the cases. `python -m tests.damage CASE` repeats a case that failed.
"""
