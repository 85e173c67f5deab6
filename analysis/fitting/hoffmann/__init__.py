"""Hoffmann's approaches 1 and 2 (2022): the exponents of N*(C) and D*(C), without a law of the loss.

`approaches.fit_approach` fits either. Approach 1 fits a frontier of the runs: `envelope` the lowest loss at each C,
`hull` the convex hull. Approach 2 (`isoflop`) fits the minimum of each budget (`minima`), with intervals from
Chinchilla's curve at a fixed budget (`budget_curves`), which also gives the bias of parabolas (`parabola_bias`).
"""
