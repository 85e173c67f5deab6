"""Writes the numbers of a fit as LaTeX macros, with tables, figures, a methods paragraph and a sample document.

The table is made here from a known law; with a TeX installed, `make` in the folder rebuilds all of it as a PDF.
"""

import csv

import numpy as np

from analysis import FitOptions, PaperOptions, write_paper


def write_table(path: str) -> None:
    """Writes 25 runs at five budgets, whose losses follow a known law with 0.3% noise."""
    noise = np.random.default_rng(0)
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["params", "tokens", "loss"])
        for C in (1e18, 3e18, 1e19, 3e19, 1e20):
            for N in 0.08 * C**0.5 * np.array([0.5, 0.7, 1, 1.4, 2]):
                D = C / (6 * N)
                table.writerow([N, D, (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal())])


write_table("losses.csv")
sample = write_paper("losses.csv", "paper", PaperOptions(venue="icml"), FitOptions(bootstrap=200))
print(sample, "and", ", ".join(sorted(path.name for path in sample.parent.iterdir() if path != sample)))
macros = (sample.parent / "macros.tex").read_text().splitlines()
print(*[line for line in macros if "ChinchillaAlpha" in line or "AtTenN" in line], sep="\n")
