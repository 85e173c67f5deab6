"""Analyses of evaluations: scores by scale, sudden rises, calibration, and verbatim extraction.

`emergence.emergence_study` computes the curves and the verdict of each task of a store or a table, and predicts scores
at a target. `calibration.measure_calibration` measures calibration and abstention. `extraction.load_extractions` reads
the share of planted documents that runs reproduce. `metrics` defines the metrics of items, and `options` the options
of these analyses.
"""
