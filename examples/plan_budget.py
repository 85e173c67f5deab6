"""Chooses size and data for a budget from a fitted law, without and with the cost of inference.

Every number has a 95% interval, and a warning where the budget is beyond the runs.
"""

import numpy as np

from analysis import FitOptions, cheapest_training, fit, off_optimum, optimal_training

noise = np.random.default_rng(0)
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 1e11, 6)))
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(bootstrap=500))
print("verdict of the fit:", "; ".join(law.verdict))

BUDGET = 1e22
for tokens in (0.0, 2e12):  # that the model reads or writes after training
    best = optimal_training(law, BUDGET, inference_tokens=tokens)
    print(f"{BUDGET:g} FLOPs, of which inference on {tokens:g} tokens:")
    print(f"  N = {best.N}\n  D = {best.D}\n  loss = {best.L}\n ", "; ".join(best.verdict[0]))

half = off_optimum(law, BUDGET, [0.5])[0]
print("a model of half the optimal size needs this share more compute for the same loss:", half.more_compute)
print("FLOPs to reach a loss of 2.2:", cheapest_training(law, 2.2).C)
