"""The store of runs, in a folder or at a remote address; used by all packages. No JAX.

`record` has `Record` and `Store`, `open` opens a store by folder or address, `remote` are stores at an address (s3://),
`curves` has the files of learning curves and the health of a sweep, `items` reads and writes the items of evaluations,
`lease` lets one process at a time train a run, `cost` computes the cost of a run so far, `commit` returns the git
commit of the code, `score_intervals` the intervals of scores, and `files` writes files atomically.
"""
