"""Studies that fit many laws or simulate sweeps, each with a command of its own.

`backtest` compares laws on held-out points, `conventions` the exponents under counting conventions, `multiplier` the
compute efficiency of architectures; `observational` fits a task's score to benchmark scores of models; `grokking` and
`double_descent` analyse sweeps of these; `coverage`, `design_savings`, `simulated_tasks` and `bench` test intervals,
designs, verdicts and speed of this package on simulated data. `options` has their options.
"""
