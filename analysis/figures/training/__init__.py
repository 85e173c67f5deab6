"""Figures of training: learning curves, learning-rate transfer, coordinate checks, attention, grokking, double descent.

Each module exports `figure` and `CAPTION`, and `read` where it shows no points of runs.
"""
