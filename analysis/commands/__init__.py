"""The commands of python -m analysis, one file each: `add` declares one, `run` runs it."""
