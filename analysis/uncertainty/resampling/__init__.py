"""Resampling of points: bootstrap samples of the parameters of a fit, and rows whose errors are correlated."""
