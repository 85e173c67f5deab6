"""Studies that fit many laws or simulate sweeps, each with its own command.

`backtest` compares laws on held-out points, `conventions` compares exponents under counting conventions, and
`multiplier` compares the compute efficiency of architectures. `forecast` predicts runs before they are trained, seals
and scores the predictions. `observational` fits the score of a task to benchmark scores of models. `grokking` and
`double_descent` analyse the sweeps of these names. `simulations` and `bench` measure the accuracy of intervals, designs
and verdicts and the speed of this package on simulated data. `options` defines the options of all studies.
"""
