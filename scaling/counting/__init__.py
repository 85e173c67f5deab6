"""Parameters and FLOPs counted from configs, rates of devices, and TPU slices; used by all packages. No JAX.

`counts` has `parameters` by group and `run_flops` by part. Blocks in a user's own file are counted by
`scaling.models.block_counts`, which runs that file and so is imported only when such a block is counted.
"""
