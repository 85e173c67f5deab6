"""Copies of a run's curve for TensorBoard (unless switched off in the placement) and Weights & Biases (on request)."""
