"""Fits of published data sets: the authors' figures, the fit by their procedure, and the fit by default."""
