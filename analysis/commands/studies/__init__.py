"""Commands of the studies and of the analyses of evaluations, one module each with `add` and `run`."""
