"""Figures of fitted laws: profiles, surfaces, residuals, counting conventions and recommended runs.

Each module exports `figure` and `CAPTION`.
"""
