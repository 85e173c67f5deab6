"""Recommends the runs that narrow the interval of a prediction most for a budget of FLOPs.

The target is the loss of the best run at 1e22 FLOPs; the law is fitted to runs of at most 3e20.
"""

import numpy as np

from analysis import FitOptions, Target, advise, fit

noise = np.random.default_rng(0)
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(5e7, 1e9, 5), np.geomspace(1e9, 5e10, 5)))
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(bootstrap=300))
print("verdict of the fit:", "; ".join(law.verdict))

advice = advise(law, Target(C=1e22), budget=1e21)
low, high = advice.interval
print(f"{advice.target}: {advice.value:.3f} [{low:.3f}, {high:.3f}] with the runs so far")
for run in advice.runs:
    low, high = advice.expected(run["ratio"])
    print(f"N = {run['N']:.2e}, D = {run['D']:.2e}: interval [{low:.3f}, {high:.3f}] expected after this run")
