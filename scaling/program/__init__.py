"""The program that trains a run: what a step computes, how it is compiled, and its checkpoints.

`step` has the pure functions (initialise, step, evaluate), `build` compiles them (`build_program`), `optimizer` makes
the optimisers, `multi_step` loops over steps within one dispatch, `checkpoint` saves and restores the state (with
`array_checksums`). `compile_cache` and `cpu_memory` configure JAX and the allocator.
"""
