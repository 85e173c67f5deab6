"""Studies on simulated data of a known truth.

`coverage` measures the bias, spread and coverage of fits, `design_savings` what designs of `next` save, and
`simulated_tasks` how often the verdict of `emergence` is right.
"""
