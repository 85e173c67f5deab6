"""Sweeps about abilities of models: emergence, in-context learning, grokking, double descent."""
