"""Fits scaling laws to points.

`fit.fit` reads a source, fits a law with `options.FitOptions` and returns a `result.Fit`. It fits a parametric law
(`parametric`, with `selection` of the points), approach 1 or 2 of Hoffmann 2022 (`approaches`, with `envelope`,
`isoflop`, `minima` and `parabola_bias`), or accuracy in two steps (`two_step`).
"""
