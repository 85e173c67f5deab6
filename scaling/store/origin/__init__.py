"""Where a record was made: the commit of the code and the machine, and what an anonymous store leaves out of it.

`commit` has the commit of the running code, `machine` the names of this machine, and `anonymous` the setting of a store
that leaves out names of machines and users and absolute paths. `clock` has the time of day.
"""
