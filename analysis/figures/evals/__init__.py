"""Figures of evaluations: scores over scale, metrics, loss and shots, calibration, and verbatim extraction.

Each module exports `figure`, `read` and `CAPTION`; `common` holds what they share.
"""
