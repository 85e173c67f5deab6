"""Fits twelve runs by the posterior, beside bootstrap and profile.

Needs the extra bayes. Of your own runs: python -m analysis fit SOURCE --intervals posterior.
"""

import numpy as np

from analysis import FitOptions, fit

noise = np.random.default_rng(0)
C = np.repeat(np.geomspace(1e18, 1e20, 3), 4)
N = np.sqrt(C / 120) * np.tile(np.geomspace(1 / 3, 3, 4), 3)
D = C / (6 * N)
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
for method in ("bootstrap", "profile", "posterior"):
    law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(intervals=method, bootstrap=400))
    at = law.at(N=1e10, D=2e11)
    low, high = at["new_run_interval"]
    print(f"{method}: alpha {law.intervals['alpha'][0]:.2f} to {law.intervals['alpha'][1]:.2f}, ", end="")
    print(f"a new run of 10B parameters and 200B tokens {low:.2f} to {high:.2f}")
print("\n".join(law.verdict))
