"""Runs of sparse autoencoders in a store: which they are, their columns, and what runs of one law have in common.

Key: n latents, k active latents per token; m runs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DataError
from analysis.format import join_names, plural
from scaling.config.run import RunConfig
from scaling.config.user_code.blocks import user_blocks
from scaling.counting.counts import parameters

MODELS, SAES, ALL = "models", "saes", "all"  # runs that are read
SAE_COLUMNS = ("n", "k", "kind", "layer", "site", "model", "model_N", "model_N_nonembedding")
SAME_LAW = ("kind", "layer", "site", "model")  # equal in all runs that one law describes
SHORT_ID = 12  # characters of a model's run id in the column `model`
SAE_COMPUTE = "FLOPs of the autoencoder, without the model's"
SAE_PARAMETERS = "parameters of the autoencoder"
MODEL_TOTAL, MODEL_NONEMBEDDING = "model_params.total", "model_params.nonembedding"  # facts of the model
EQUAL_TOKENS = 1.01  # ratio of numbers of tokens that are equal but for whole steps


def is_sae(facts: pd.DataFrame) -> np.ndarray:
    """Returns which rows (m,) are runs of sparse autoencoders.

    Args:
        facts: Rows of `read_facts` or of `read_runs`.
    """
    name = next((name for name in ("config.sae.kind", "sae.kind") if name in facts), None)
    if name is None:
        return np.zeros(len(facts), bool)
    return np.array([isinstance(kind, str) and bool(kind) for kind in facts[name]], bool)  # a file has empty cells


def select_runs(facts: pd.DataFrame, runs: str) -> tuple[pd.DataFrame, list[str]]:
    """Returns the rows of models or of autoencoders, and a note on those that are left out.

    Args:
        facts: Rows of `read_facts`, or a table of runs.
        runs: MODELS, SAES or ALL.
    """
    wanted = is_sae(facts) == (runs == SAES)
    if runs == ALL or wanted.all():
        return facts, []
    selected = facts[wanted].reset_index(drop=True).copy()  # not fragmented
    if runs == MODELS:
        selected = selected.drop(columns=[c for c in selected if str(c).startswith(("config.sae.", "sae."))])
    others = plural(int((~wanted).sum()), "run")
    if runs == MODELS:
        return selected, [f"{others} of sparse autoencoders left out: laws such as sae-nk read them"]
    return selected, [f"{others} of models left out"]


def model_counts(config: RunConfig) -> dict[str, float]:
    """Returns the parameters of the model whose activations an autoencoder reads, all and without embedding and head.

    Empty for a model with blocks of a user's file, which are not run, and for a file of activations.

    Args:
        config: The run of an autoencoder.
    """
    if config.sae is None or config.sae.model_run is None or user_blocks(config.model):
        return {}
    groups = parameters(config.model)
    outer = sum(groups.get(name, 0) for name in ("embedding", "head", "position"))
    return {MODEL_TOTAL: float(groups["total"]), MODEL_NONEMBEDDING: float(groups["total"] - outer)}


def sae_columns(facts: pd.DataFrame) -> dict[str, Any]:
    """Returns the columns `SAE_COLUMNS` of runs of autoencoders: k is the measured number of active latents.

    Args:
        facts: Rows of `read_facts` (m,).
    """
    missing = pd.Series([np.nan] * len(facts), index=facts.index)
    runs = facts.get("config.sae.model_run", missing)
    return {
        "n": facts["config.sae.latents"].astype(float),
        "k": facts.get("final.val_l0", missing).astype(float),
        "kind": facts["config.sae.kind"],
        "layer": facts["config.sae.layer"].astype(int),
        "site": facts["config.sae.site"],
        "model": [run[:SHORT_ID] if isinstance(run, str) else None for run in runs],
        "model_N": facts.get(MODEL_TOTAL, missing).astype(float),
        "model_N_nonembedding": facts.get(MODEL_NONEMBEDDING, missing).astype(float),
    }


def check_one_law(runs: pd.DataFrame, grouped_by: Collection[str], source: str) -> list[str]:
    """Checks that a law of n and k can describe runs of autoencoders, and returns notes.

    Args:
        runs: The finished runs that are fitted.
        grouped_by: Columns whose values are fitted apart.
        source: Name of the store.

    Raises:
        DataError: The runs are of several kinds, layers, sites or models.
    """
    several = {name: sorted(set(runs[name].dropna())) for name in SAME_LAW if name not in grouped_by}
    several = {name: values for name, values in several.items() if len(values) > 1}
    if several:
        texts = [f"{name} {join_names([str(value) for value in values], 5)}" for name, values in several.items()]
        chosen = " and ".join(
            f"{name} == {values[0]!r}" if isinstance(values[0], str) else f"{name} == {values[0]}"
            for name, values in several.items()
        )
        by = f", or --by {next(iter(several))}" if len(several) == 1 else ""
        raise DataError(f'{source}: autoencoders that differ in {"; ".join(texts)}: choose with --where "{chosen}"{by}')
    tokens = runs["D"].astype(float)
    if len(tokens) and tokens.max() > EQUAL_TOKENS * tokens.min():
        return [f"runs of {tokens.min():.3g} to {tokens.max():.3g} tokens, which are no input of the law"]
    return []
