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
# # Launch and watch a sweep
#
# Plan a sweep, train it in the background, watch it, and fit a law to its runs. The models are tiny, so that this
# takes half a minute on two cores; the same cells launch a sweep of any size.

# %%
import sweeps
from analysis import curves, fit, plot, table
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig

STORE = "S"

# %% [markdown]
# ## A sweep
#
# A sweep is a function that returns configs. Its keyword arguments are settings. `corpus` is the token file that the
# models are trained on; here the source code of Python's standard library, which is part of every installation.


# %%
def size_grid(corpus, *, seed=0, widths=(16, 24, 32), steps=(60, 120, 240)):
    """Sizes, each with several amounts of data."""
    return [
        RunConfig(
            model=ModelConfig(vocab=corpus.vocab, width=width, layers=2, heads=width // 8, mlp_width=3 * width),
            data=DataConfig(tokens=corpus.tokens, length=64),
            optimizer=OptimizerConfig(lr=0.16 / width),
            schedule=ScheduleConfig(warmup=20),
            eval=EvalConfig(sequences=256),
            batch=16,
            steps=count,
            seed=seed,
        )
        for width in widths
        for count in steps
    ]


# %% [markdown]
# ## Plan
#
# Nothing is trained yet. Runs of one size share the start of their training: the column *from* is the step at which a
# run branches off a longer one.

# %%
sweeps.plan(size_grid, store=STORE)

# %% [markdown]
# ## Launch
#
# With `wait=False` another process trains, and the notebook stays free; closing it does not stop the sweep. The same
# call continues a sweep that was interrupted, and trains nothing twice.

# %%
sweep = sweeps.launch(size_grid, store=STORE, wait=False)
sweep

# %% [markdown]
# `watch` redraws the state of the runs until they have ended; `wait` does the same without a display. An interrupt of
# the cell ends the display, not the sweep; `sweep.stop()` stops it, and saves all runs.

# %%
sweep.watch(seconds=5)

# %% [markdown]
# ## The runs as DataFrames

# %%
runs = table(STORE).sort_values("C")
runs[["run_id", "N", "D", "C", "loss", "seconds"]]

# %%
curves(STORE).tail()

# %%
plot(STORE, "curves")

# %% [markdown]
# ## A law
#
# Nine tiny runs determine a law badly, which the verdict says. More sizes and budgets change that.

# %%
law = fit(STORE, "chinchilla")
law
