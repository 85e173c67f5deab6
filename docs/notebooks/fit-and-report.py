# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fit and report
#
# From a table of runs, as exported from Weights & Biases, to a law with intervals, figures and a report. The table is
# made here with a known law, so that the result can be compared with the truth.

# %%
import numpy as np
import pandas as pd

from analysis import FitOptions, ReadOptions, backtest, fit, load, optimal_training, plot, write_report

E, A, B, alpha, beta = 1.69, 406.4, 410.7, 0.34, 0.28  # the law of these runs
noise = np.random.default_rng(0)
rows = []
for budget in (1e18, 3e18, 1e19, 3e19, 1e20):
    for ratio in 2.0 ** np.arange(-1.5, 2, 0.5):
        N = 1.345 * (budget / 6) ** 0.4516 * ratio  # around the best size of this law
        D = budget / (6 * N)
        loss = (E + A / N**alpha + B / D**beta) * np.exp(0.002 * noise.normal())
        rows.append({"Name": f"run-{len(rows)}", "State": "finished", "n_params_M": N / 1e6, "tokens (B)": D / 1e9,
                     "planned_flops": budget, "train/loss": loss - 0.03, "eval/loss": loss})  # fmt: skip
rows[9] |= {"State": "crashed", "eval/loss": np.nan}
pd.DataFrame(rows).to_csv("wandb_export.csv", index=False)
pd.read_csv("wandb_export.csv").head()

# %% [markdown]
# ## Read the table
#
# `load` reads the table and says in notes what it took from which column: units in the names are obeyed, the held-out
# loss comes before the training loss, and the crashed run is left out.

# %%
points = load("wandb_export.csv")
print(len(points), "runs")
for note in points.notes:
    print(note)

# %% [markdown]
# ## Fit
#
# A fit shows as a table. The verdict is `converged`, or lists what is in doubt.

# %%
law = fit(points, "chinchilla", FitOptions(bootstrap=1000))
law

# %%
pd.DataFrame({
    "fit": law.params,
    "low": {name: interval[0] for name, interval in law.intervals.items()},
    "high": {name: interval[1] for name, interval in law.intervals.items()},
    "truth": {"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta},
})  # fmt: skip

# %% [markdown]
# The law as a figure, and the isoFLOP curves of the same runs. Both are Matplotlib figures.

# %%
plot(law, "law")

# %%
plot("wandb_export.csv", "isoflop")

# %% [markdown]
# ## Predict
#
# The best size, its tokens and its loss at larger budgets, each with a 95% interval and a warning.

# %%
best = optimal_training(law, [1e21, 1e22])
for name in ("N", "D", "L"):
    print(name, getattr(best, name))
print(best.verdict)

# %% [markdown]
# Would the law have predicted the largest budget from the smaller ones? A backtest leaves it out, and compares laws.

# %%
result = backtest("wandb_export.csv", ["chinchilla", "kaplan-nd", "power-c"], "C>5e19")
pd.DataFrame({score.law: {"error": score.relative, "coverage": score.coverage} for score in result.scores}).T

# %% [markdown]
# ## Report
#
# All laws that the table allows, their figures and warnings, as one HTML file.

# %%
path = write_report("wandb_export.csv", "report", FitOptions(bootstrap=300), ReadOptions())
print(path)
