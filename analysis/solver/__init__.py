"""Minimises a law's objective on points: for many starts, bootstrap samples or subsets at once, in float64.

`objective` says what is summed, `problem` is a law on points in well-conditioned coordinates, `search` finds the lowest
minimum (`projection`: a grid over the nonlinear parameters, `minimise`: damped Newton steps), `local_minima` the other
minima, `constrained` the minimum with a quantity fixed, and `robust` the scale of residuals with outliers.
"""
