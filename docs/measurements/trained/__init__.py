"""Measurements of sweeps that are trained first; each continues the training of its store where it ended."""
