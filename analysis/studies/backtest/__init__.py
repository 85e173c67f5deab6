"""Backtests: laws are fitted to one part of the points and predict the rest, each alone and all in an ensemble.

`backtest.backtest` runs one, `result.Backtest` is its result; `ensemble` weights the laws by their validation error.
"""
