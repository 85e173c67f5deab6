"""Parameters and FLOPs of a model, counted from its config; used by all packages, also to verify records. No JAX.

`counts` has `parameters` by group and `run_flops` by part. Blocks in a user's own file are counted by
`scaling.models.block_counts`, which runs that file and so is imported only when such a block is counted.
"""
