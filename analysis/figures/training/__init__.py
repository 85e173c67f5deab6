"""Figures of training: learning curves, learning-rate transfer, coordinate checks, attention, grokking, double descent.

Each module exports `figure` and `CAPTION`, and `read` if it does not show points of runs.
"""
