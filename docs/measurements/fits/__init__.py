"""Measurements of fits: published data sets, simulated sweeps, predictions of held-out points, time of the search."""
