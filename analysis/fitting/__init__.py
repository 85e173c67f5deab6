"""Fits scaling laws to points.

`fit.fit` reads a source and fits a parametric law (`parametric`), approach 1 or 2 of Hoffmann 2022 (`approaches`, with
`isoflop`, `minima` and `parabola_bias`) or accuracy in two steps (`two_step`), as `options.FitOptions` says; the result
is a `result.Fit`. `selection` checks that the points can determine a law.
"""
