"""Backtests: laws and an ensemble of them are fitted to one part of the points and evaluated on the rest.

`backtest.backtest` runs a backtest and returns `result.Backtest`. `ensemble` weights laws by their validation error.
"""
