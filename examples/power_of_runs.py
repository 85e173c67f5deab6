"""Says which other laws these runs could have told from Chinchilla's, and which further runs would tell them.

Twenty simulated runs of a known law; of your own: python -m analysis fit SOURCE --power.
"""

import numpy as np

from analysis import FitOptions, fit, power_statement

noise = np.random.default_rng(0)
C = np.repeat(np.geomspace(1e18, 1e21, 4), 5)
N = np.sqrt(C / 120) * np.tile(np.geomspace(1 / 3, 3, 5), 4)
D = C / (6 * N)
L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.01 * noise.normal(size=N.size))
law = fit({"N": N, "D": D, "L": L}, "chinchilla", FitOptions(bootstrap=200))
power = power_statement(law, draws=100)
for row in power.distinctions:
    further = f"with runs at {row.extension:g} times their compute {row.extension_power:.0%}" if row.extension else ""
    print(f"{row.name}: power of {power.runs} runs {row.power:.0%} ± {row.error:.0%} {further}")
