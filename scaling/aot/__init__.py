"""Ahead-of-time compilation of training steps for TPU slices, on a machine without a TPU.

`check.check_fit` checks whether a step fits a slice. It compiles in a child process (`worker`), because libtpu needs
environment variables before JAX is imported. `hlo` reads collectives and kernels from a compiled program.
"""
