"""Commands that simulate sweeps with known truths, one module each with `add` and `run`."""
