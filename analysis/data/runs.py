"""A store's runs as one table: N, D and C as a counting convention has them, and every field of the configs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data import record_cache
from analysis.errors import DataError

PARAMS = {"total": "all parameters", "nonembedding": "parameters without embedding and head"}
FLOPS = {
    "6nd": "6·N·D with all parameters",
    "6nd-nonembedding": "6·N·D without embedding and head",
    "exact": "every matrix product, causal attention and head included",
    "exact-full-attention": "every matrix product, unmasked attention and head included",
}
NUMBERS = ("N", "D", "C", "loss", "budget", "shared_steps", "seconds")
TABLE = (
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
)


def choice(what: str, value: str, allowed: dict[str, str]) -> None:
    if value not in allowed:
        raise DataError(f"{what} = {value!r}: allowed are {', '.join(allowed)}")


def runs(store: str | Path, flops: str = "6nd", params: str = "total") -> pd.DataFrame:
    """Every run of a store, one row each, whatever its status; the columns of TABLE even when it has none.

    Then scores (eval.TASK), batch_tokens and the config's fields by dotted name. What is not known is NaN or None.
    D and C of a run that has not ended are those of its plan; its loss is absent. attrs["notes"]: of the reading.
    """
    choice("flops", flops, FLOPS)
    choice("params", params, PARAMS)
    known, notes = record_cache.facts(store)
    D = _tokens(known)
    config = [name for name in known.columns if str(name).startswith("config.")]
    data = {
        **{name: known.get(name) for name in ("run_id", "sweep", "status")},
        "loss": _number(known, "final.loss"),
        "budget": _number(known, "config.budget"),
        "computed_in": known.get("about.precision"),
        **{name: known.get(f"about.{name}") for name in ("shared_steps", "seconds", "error")},
        "N": count_params(known, params),
        "D": D,
        "C": count_flops(known, D, flops),
    }
    frame = pd.DataFrame({name: data[name] for name in TABLE}, index=known.index)
    for name in NUMBERS:
        frame[name] = frame[name].astype(float)
    scores = [name for name in known.columns if str(name).startswith("evals.")]
    more = {f"eval.{name.removeprefix('evals.')}": known[name] for name in scores}
    if len(known):
        more["batch_tokens"] = known["config.batch"] * known["config.data.length"]
    more |= {name.removeprefix("config."): known[name] for name in config if name != "config.budget"}
    frame = pd.concat([frame, pd.DataFrame(more, index=known.index)], axis=1)
    frame.attrs["notes"] = notes
    return frame


def count_params(known: pd.DataFrame, convention: str) -> np.ndarray:
    """N: `total`, or without embedding, head and position tables (Kaplan 2020, section 2.1)."""
    total = _number(known, "params.total")
    if convention == "total":
        return total
    return total - sum(np.nan_to_num(_number(known, f"params.{group}")) for group in ("embedding", "head", "position"))


def count_flops(known: pd.DataFrame, D: np.ndarray, convention: str) -> np.ndarray:
    """C of runs that saw D tokens.

    6nd: 6·N·D with all parameters (Hoffmann 2022); 6nd-nonembedding: with Kaplan's N; exact: every
    matrix product, causal attention, head included; exact-full-attention: the same, attention unmasked.
    """
    if convention.startswith("6nd"):
        return 6 * count_params(known, "nonembedding" if convention.endswith("nonembedding") else "total") * D
    total = _number(known, "flops.total")
    if convention == "exact-full-attention":
        for side in ("forward", "backward"):
            total = total + _number(known, f"flops.attention_full_{side}")
            total = total - _number(known, f"flops.attention_causal_{side}")
    return total


def _tokens(known: pd.DataFrame) -> np.ndarray:
    """D: those that a run that is done has seen, else those of its plan."""
    if not len(known):
        return np.zeros(0)
    sequences = _number(known, "config.batch") * _number(known, "config.steps") - _not_read(known)
    planned = sequences * _number(known, "config.data.length")
    seen = _number(known, "final.tokens")
    return np.where((known["status"] == "done") & np.isfinite(seen), seen, planned)


def _not_read(known: pd.DataFrame) -> np.ndarray:
    """Sequences that runs which begin with smaller batches read fewer than they would without."""
    fewer = np.zeros(len(known))
    if "config.schedule.batch_ramp" not in known:
        return fewer
    for row, (ramp, batch) in enumerate(zip(known["config.schedule.batch_ramp"], known["config.batch"], strict=True)):
        first = 0
        for size, until in ramp if isinstance(ramp, list | tuple | np.ndarray) else ():
            fewer[row] += (batch - size) * (until - first)
            first = until
    return fewer


def _number(known: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64 (n,); all NaN where no record has it."""
    return known[name].to_numpy(np.float64, na_value=np.nan) if name in known else np.full(len(known), np.nan)
