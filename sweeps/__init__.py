"""Sweeps: sets of runs that are defined, planned, priced, launched on an engine, and monitored.

`python -m sweeps` is the command line. The layers, from the lowest: planning, definitions, cost, engines, monitoring,
launching, commands.
"""
