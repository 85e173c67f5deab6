"""Figures of fitted laws: profiles, surfaces, residuals, counting conventions and the runs to train next.

Each module exports `figure` and `CAPTION`.
"""
