"""Forecasts of the loss of a run that has not been trained, sealed before the run and scored after it.

`forecast.forecast_run` returns a `result.Forecast`, whose `predictive` distribution mixes laws. `seals` appends
forecasts to a hash-chained file of a store, and `scores` compares them with the runs.
"""
