"""Figures of evaluations: scores by scale, metric, loss and shots, calibration, and verbatim extraction.

Each module exports `figure`, `read` and `CAPTION`; `common` contains shared functions.
"""
