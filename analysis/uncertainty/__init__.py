"""Uncertainty of a fit: intervals and warnings.

`bootstrap` and `intervals` compute percentile intervals, `profile` computes intervals by profile likelihood, and
`options` defines the options of a bootstrap. Warnings come from `diagnostics`, `influence` (refits without each part of
the points), `regimes` (a changepoint in the residuals) and `profile`; `verdicts` lists their codes. `seed_noise`
weights runs by the noise between seeds.
"""
