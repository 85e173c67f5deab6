"""Draws a figure of your own from a store or table: the waste of each run against its tokens per parameter.

On the command line: python -m analysis figure own_figure.py:waste losses.csv --out waste.pdf --set marker=s.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import Source, optimal_training, save_figure


def waste(source: Source, width: float, *, marker: str = "o") -> Figure:
    """Loss above the best loss at the compute of each run."""
    points, law = source.points, source.fit("chinchilla")
    best = optimal_training(law, points.C).L
    figure = Figure(figsize=(width, 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(points.D / points.N, points.L - best.value, (best.high - best.low) / 2, fmt=marker)
    axes.set(xscale="log", xlabel="Tokens per parameter", ylabel="Loss above the optimum (nats/token)")
    return figure


if __name__ == "__main__":
    noise = np.random.default_rng(0)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e7, 3e9, 5), np.geomspace(1e9, 1e11, 5)))
    L = (1.69 + 406.4 / N**0.34 + 410.7 / D**0.28) * np.exp(0.003 * noise.normal(size=N.size))
    pd.DataFrame({"params": N, "tokens": D, "val_loss": L}).to_csv("losses.csv", index=False)
    print(save_figure("losses.csv", f"{__file__}:waste", "waste.png"))
