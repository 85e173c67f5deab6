"""Fits a law to a CSV of losses and prints its parameters with intervals and the verdict.

The table is made here from a known law; replace losses.csv by your own and drop `write_table`.
"""

import csv

import numpy as np

from analysis import FitOptions, ReadOptions, fit


def write_table(path: str) -> None:
    """Writes 25 runs whose losses follow a known law with 0.3% noise."""
    noise = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["model_size_M", "tokens_seen_B", "validation_loss"])
        for N in (5e7, 1e8, 2e8, 4e8, 8e8):
            for D in N * np.array([5, 10, 20, 40, 80]):
                loss = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal())
                table.writerow([N / 1e6, D / 1e9, f"{loss:.4f}"])


write_table("losses.csv")
reading = ReadOptions(columns={"N": "model_size_M", "D": "tokens_seen_B", "L": "validation_loss"})
law = fit("losses.csv", "chinchilla", FitOptions(bootstrap=500), reading)
print("\n".join(law.notes))
for name, value in law.params.items():
    low, high = law.intervals[name]
    print(f"{name} = {value:.4g}, 95% interval {low:.4g} to {high:.4g}")
print("verdict:", "; ".join(law.verdict))
