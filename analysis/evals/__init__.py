"""Analyses of evaluations: scores over scale, sudden rises, calibration, and verbatim extraction.

`emergence.emergence_study` reads the tasks of a store or a table, gives each its curves and a verdict, and predicts
scores at a target; `calibration.measure_calibration` measures calibration and abstention, and
`extraction.load_extractions` reads how much planted text runs reproduce. `metrics` has the metrics of items, `options`
the options of these analyses.
"""
