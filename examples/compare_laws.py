"""Compares laws by what they predict: each is fitted to the small runs and predicts the large ones.

A law that fits well can predict badly; the errors and the coverage of the intervals show it.
"""

import numpy as np
import pandas as pd

from analysis import backtest

noise = np.random.default_rng(0)
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 1e11, 6)))
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
runs = pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "L": L})

result = backtest(runs, ["chinchilla", "kaplan-nd", "power-c"], "C>1e20")
for score in result.scores:  # the last one is the average of the laws
    print(f"{score.law:10}  error {score.relative:.2%}, {score.coverage:.0%} of losses in their intervals")
