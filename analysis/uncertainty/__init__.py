"""The uncertainty of a fit: intervals, and what is doubtful about it.

`bootstrap` and `intervals` give percentile intervals, `profile` intervals by profile likelihood; `options` holds the
options of every bootstrap. The verdict of a fit is assembled from `diagnostics`, `influence` (refits without each part
of the points), `regimes` (a changepoint in the residuals) and `profile`; `verdicts` has the codes and what they mean.
`seed_noise` weights runs by the noise between seeds.
"""
