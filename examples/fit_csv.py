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
print(law)  # how the table was read, parameters with intervals, predictions, verdict
low, high = law.intervals["alpha"]
print(f"alpha is {law.params['alpha']:.3f}, between {low:.3f} and {high:.3f} (95%)")
if law.verdict != ("converged",):
    print("do not use these numbers before you have read:", *law.verdict, sep="\n  ")
