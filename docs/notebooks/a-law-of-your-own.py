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
# # A law of your own
#
# A law is a function: its positional arguments are the inputs, its keyword arguments are the parameters, and their
# defaults are starting values of the search. Everything else (intervals, verdicts, comparison, figures) works as for
# the built-in laws.

# %%
import numpy as np
import pandas as pd

from analysis import FitOptions, backtest, fit, plot

# %% [markdown]
# ## Runs with an effect that the built-in laws do not have
#
# In these runs a share of the weights is zero. The rest is the `density`. A sparse model is worth fewer parameters, by
# a power of its density.

# %%
noise = np.random.default_rng(0)
grid = np.meshgrid(np.geomspace(5e7, 2e9, 4), np.geomspace(1e9, 5e10, 4), [1.0, 0.5, 0.25, 0.1])
N, D, density = (x.ravel() for x in grid)
L = 1.7 + 400 / (N * density**0.6) ** 0.34 + 410 / D**0.28
runs = pd.DataFrame(
    {"params": N, "tokens": D, "density": density, "val_loss": L * np.exp(0.002 * noise.normal(size=L.size))}
)
runs.to_csv("sparse.csv", index=False)
runs.head()

# %% [markdown]
# ## The law
#
# A parameter whose default is a tuple starts from each of its values. Inputs with names other than N, D, C, L are
# read from a column of that name. Attributes of the function say more: its source, bounds, and which parameters enter
# linearly, which makes the search faster and global.


# %%
def sparse(N, D, density, *, E=(1.0, 2.0), A=(1e2, 1e3), B=(1e2, 1e3), alpha=0.3, beta=0.3, s=(0.3, 1.0)):
    """Loss of a model of which a share `density` of the weights is not zero."""
    return E + A / (N * density**s) ** alpha + B / D**beta


sparse.linear = ("E", "A", "B")  # the law is a sum in which these are factors
sparse.bounds = {"s": (0.01, 5.0)}

law = fit("sparse.csv", sparse, FitOptions(bootstrap=300))
law

# %% [markdown]
# The interval of `s` contains the 0.6 that made the runs. `predict` and intervals of predictions work too:

# %%
law.at(N=4e9, D=1e11, density=0.5)

# %% [markdown]
# ## Is it better than a law without the effect?
#
# Leave out the sparsest models and predict them:

# %%
result = backtest("sparse.csv", [sparse, "chinchilla"], "density<0.2")
pd.DataFrame({score.law: {"error": score.relative, "coverage": score.coverage} for score in result.scores}).T

# %% [markdown]
# ## On the command line
#
# Save the function in a file `my_laws.py`; then `python -m analysis fit sparse.csv --law my_laws.py:sparse` does the
# same.

# %%
plot(law, "parity")
