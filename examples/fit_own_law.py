"""Fits a law of your own: a function of the inputs and, after the star, the parameters with starting values.

On the command line: python -m analysis fit losses.csv --law fit_own_law.py:saturating.
"""

import numpy as np

from analysis import FitOptions, fit


def saturating(D, *, E=(1.0, 2.0), B=(1e2, 1e4), beta=0.3, D0=(1e6, 1e8)):
    """Power law of the data with an offset D0, below which more data hardly helps."""
    return E + B / (D + D0) ** beta


if __name__ == "__main__":
    D = np.geomspace(1e6, 1e11, 24)
    noise = np.random.default_rng(0)
    runs = {"D": D, "L": saturating(D, E=1.8, B=900.0, beta=0.35, D0=3e7) * np.exp(0.002 * noise.normal(size=D.size))}

    for law in (saturating, "power-d"):
        result = fit(runs, law, FitOptions(bootstrap=300))
        print(result.law, "objective", f"{result.objective['value']:.3g}")
        for name, value in result.params.items():
            low, high = result.intervals[name]
            print(f"  {name} = {value:.4g} [{low:.4g}, {high:.4g}]")
        print("  verdict:", "; ".join(result.verdict))
