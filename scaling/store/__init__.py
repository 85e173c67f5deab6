"""The store: records of runs, and the folder or address that holds them, shared by all packages. No JAX.

`record` has Record and Store, `open` opens a store by folder or address, `remote` is a store at an address (s3://),
`items` reads and writes items of evaluations, `lease` lets one process at a time train a run, `cost` is what a run
has cost so far, `commit` the git commit of the code, and `files` atomic files.
"""
