"""Copies of a run's curve for TensorBoard (always, unless the placement says not) and Weights & Biases (on request)."""
