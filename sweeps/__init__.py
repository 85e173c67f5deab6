"""Which runs to train, at what cost, and where: sweeps are defined, planned, quoted, launched and followed.

`python -m sweeps` is the command line. The layers, from the bottom: planning, definitions, cost, engines, status,
launching, commands.
"""
