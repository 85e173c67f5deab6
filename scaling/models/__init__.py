"""Models: Flax modules of the architectures, their losses, and exact counts of their parameters and FLOPs.

`transformer` is the decoder and `encoder_decoder` T5's architecture; `attention`, `mlp`, `experts`, `norm` and `linear`
are their blocks. `loss` computes cross-entropies from the residual stream, `parametrisation` the multipliers of muP and
CompleteP, and `counts` parameters and FLOPs from a config alone, without JAX. Names of arrays end in their axes; the
key is at the top of each file. Names of parameters are part of checkpoints and must not change.
"""
