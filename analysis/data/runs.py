"""Reads the runs of a store as one table: N, D and C under a counting convention, scores and config fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.record_cache import StoreSnapshot, read_facts
from analysis.data.rows.saes import MODELS, SAE_COLUMNS, is_sae, sae_columns, select_runs
from analysis.errors import DataError
from scaling.config import schedule

PARAM_COUNTS = {"total": "all parameters", "nonembedding": "parameters without embedding and head"}
FLOP_COUNTS = {
    "6nd": "6·N·D with all parameters",
    "6nd-nonembedding": "6·N·D without embedding and head",
    "exact": "every matrix product, causal attention and head included",
    "exact-full-attention": "every matrix product, unmasked attention and head included",
}
DEFAULT_FLOPS = "6nd"
NUMERIC_COLUMNS = ("N", "D", "C", "loss", "budget", "shared_steps", "seconds")
RUN_COLUMNS = (
    "run_id",
    "sweep",
    "status",
    "N",
    "D",
    "C",
    "loss",
    "budget",
    "computed_in",
    "shared_steps",
    "seconds",
    "error",
    "N_counts",
    "C_counts",
)


def check_choice(option: str, value: str, allowed: Collection[str]) -> None:
    """Checks that the value of an option is one of those allowed.

    Args:
        option: Name of the option.
        value: Its value.
        allowed: Allowed values.

    Raises:
        DataError: The value is not allowed.
    """
    if value not in allowed:
        raise DataError(f"{option} = {value!r}: allowed are {', '.join(allowed)}")


def read_runs(
    store: str | Path | StoreSnapshot, flops: str | None = None, params: str = "total", runs: str = MODELS
) -> pd.DataFrame:
    """Reads the intact runs of a store, of any status.

    Args:
        store: The store, or its folder.
        flops: What C counts, a key of `FLOP_COUNTS`; `DEFAULT_FLOPS` by default.
        params: What N counts, a key of `PARAM_COUNTS`.
        runs: MODELS, SAES (sparse autoencoders, whose N and C are always their own parameters and exact FLOPs) or ALL.

    Returns:
        One row per run: the columns `RUN_COLUMNS`, of autoencoders `SAE_COLUMNS`, then scores (eval.TASK), batch_tokens
        and the config's fields by dotted name. Unknown values are NaN or None. D and C of an unfinished run are planned
        values, and its loss is missing. `attrs["notes"]` contains notes on the reading.

    Raises:
        DataError: Unknown convention.
    """
    flops = flops or DEFAULT_FLOPS
    check_choice("flops", flops, FLOP_COUNTS)
    check_choice("params", params, PARAM_COUNTS)
    facts, notes = read_facts(store)
    facts, others = select_runs(facts, runs)
    frame = _run_table(facts, flops, params)
    frame.attrs["notes"] = [*notes, *others]
    return frame


def has_autoencoders(store: str | Path | StoreSnapshot) -> bool:
    """Returns whether a store has a finished run of a sparse autoencoder."""
    facts, _ = read_facts(store)
    return bool((is_sae(facts) & (facts["status"] == "done").to_numpy(bool)).any()) if len(facts) else False


def _run_table(facts: pd.DataFrame, flops: str, params: str) -> pd.DataFrame:
    """The table of `read_runs`, without notes."""
    N, D, C = count_runs(facts, flops, params)
    data = {
        **{name: facts.get(name) for name in ("run_id", "sweep", "status")},
        "loss": _losses(facts),
        "budget": _column(facts, "config.budget"),
        "computed_in": facts.get("about.precision"),
        **{name: facts.get(f"about.{name}") for name in ("shared_steps", "seconds", "error")},
        "N": N,
        "D": D,
        "C": C,
        "N_counts": params,
        "C_counts": flops,
    }
    frame = pd.DataFrame({name: data[name] for name in RUN_COLUMNS}, index=facts.index)
    for name in NUMERIC_COLUMNS:
        frame[name] = frame[name].astype(float)
    names = [str(name) for name in facts.columns]
    sae_n = is_sae(facts)
    if sae_n.any():
        added = pd.DataFrame(sae_columns(facts[sae_n]), index=facts.index[sae_n], columns=list(SAE_COLUMNS))
        frame = pd.concat([frame, added.reindex(facts.index)], axis=1)
    columns = {f"eval.{name.removeprefix('evals.')}": facts[name] for name in names if name.startswith("evals.")}
    if len(facts):
        columns["batch_tokens"] = facts["config.batch"] * facts["config.data.length"]
    fields = [name for name in names if name.startswith("config.") and name != "config.budget"]
    columns |= {name.removeprefix("config."): facts[name] for name in fields}
    return pd.concat([frame, pd.DataFrame(columns, index=facts.index)], axis=1)


def count_runs(facts: pd.DataFrame, flops: str, params: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns N, D and C (n,) of runs under a counting convention; those of autoencoders are exact under each.

    Args:
        facts: One row per run, with the columns of `analysis.data.record_cache.read_facts`.
        flops: What C counts, a key of `FLOP_COUNTS`.
        params: What N counts, a key of `PARAM_COUNTS`.
    """
    D = _tokens(facts)
    N, C = _params(facts, params), _flops(facts, D, flops)
    exact = is_sae(facts)
    return np.where(exact, _params(facts, "total"), N), D, np.where(exact, _column(facts, "flops.total"), C)


def _params(facts: pd.DataFrame, convention: str) -> np.ndarray:
    """N: all parameters, or those without embedding, head and position tables (Kaplan 2020, section 2.1)."""
    total = _column(facts, "params.total")
    if convention == "total":
        return total
    return total - sum(np.nan_to_num(_column(facts, f"params.{group}")) for group in ("embedding", "head", "position"))


def _flops(facts: pd.DataFrame, D: np.ndarray, convention: str) -> np.ndarray:
    """C of runs with D tokens: 6·N·D (Hoffmann 2022; without embeddings: Kaplan 2020), or all matrix products."""
    if convention.startswith("6nd"):
        return 6 * _params(facts, "nonembedding" if convention.endswith("nonembedding") else "total") * D
    total = _column(facts, "flops.total")  # unknown of imported models
    if convention == "exact-full-attention":
        for side in ("forward", "backward"):
            total = total + _column(facts, f"flops.attention_full_{side}")
            total = total - _column(facts, f"flops.attention_causal_{side}")
    return total


def _tokens(facts: pd.DataFrame) -> np.ndarray:
    """D: tokens read by finished runs, planned tokens of other runs, and what is stated of imported models."""
    if not len(facts):
        return np.zeros(0)
    planned = _planned_sequences(facts) * _column(facts, "config.data.length")
    read = _column(facts, "final.tokens")
    D = np.where((facts["status"] == "done") & np.isfinite(read), read, planned)
    return np.where(_is_imported(facts), _column(facts, "about.stated_tokens"), D)


def _losses(facts: pd.DataFrame) -> np.ndarray:
    """Final losses, and what is stated of imported models."""
    if not len(facts):
        return np.zeros(0)
    return np.where(_is_imported(facts), _column(facts, "about.stated_loss"), _column(facts, "final.loss"))


def _is_imported(facts: pd.DataFrame) -> np.ndarray:
    """Which runs are imported models, whose training is not known: those of no steps."""
    return _column(facts, "config.steps") == 0


def _planned_sequences(facts: pd.DataFrame) -> np.ndarray:
    """Planned sequences of each run, with batch ramps."""
    sequences = _column(facts, "config.batch") * _column(facts, "config.steps")
    columns = ("config.batch", "config.schedule.batch_ramp", "config.steps")
    for row, (batch, ramp, steps) in enumerate(zip(*(facts[name] for name in columns), strict=True)):
        if len(ramp):
            sequences[row] = schedule.sequences_read(batch, ramp, steps, steps)
    return sequences


def sequences_at(run: Mapping[Any, Any], steps: Sequence[float]) -> np.ndarray:
    """Returns the number of sequences that a run has read at each of `steps` (m,), with its batch ramp.

    Args:
        run: A row of `read_runs`, or a mapping with `batch`, `schedule.batch_ramp` and `steps`.
        steps: Steps done.
    """
    config = run["batch"], run["schedule.batch_ramp"], int(run["steps"])
    return np.array([schedule.sequences_read(*config, int(step)) for step in steps], np.float64)


def token_share(run: Any, step: float) -> float:
    """Returns the share of the training tokens of a run that its first `step` steps read.

    Args:
        run: A row of `read_runs`, or a mapping with `batch`, `schedule.batch_ramp` and `steps`.
        step: Steps done.
    """
    return schedule.token_share(run["batch"], run["schedule.batch_ramp"], int(run["steps"]), int(step))


def _column(facts: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64 (n,), NaN if no record has it."""
    return facts[name].to_numpy(np.float64, na_value=np.nan) if name in facts else np.full(len(facts), np.nan)
