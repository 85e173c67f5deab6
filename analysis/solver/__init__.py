"""Minimises the objective of a law on points, for many starts, bootstrap samples or subsets at once, in float64.

`objective` defines objectives, and `problem` a law on points in well-conditioned coordinates. `search` finds the global
minimum with a grid over the nonlinear parameters (`projection`) and damped Newton steps (`minimise`). `local_minima`
finds other minima, and `constrained` the minimum with a quantity fixed. `differences` computes numerical derivatives,
and `robust` the scale of residuals with outliers.
"""
