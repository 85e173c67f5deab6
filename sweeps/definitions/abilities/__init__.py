"""Sweeps about what models can do: emergence, in-context learning, grokking, double descent."""
