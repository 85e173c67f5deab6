"""Packs: several runs of one shape trained as one program, each with its own record, curve and checkpoints.

`program` maps the functions of one run over a run axis that is laid out over the devices, `state` has the runs of a
pack, `loop.train_pack` trains them, and `evaluation` computes their validation scores.
"""
