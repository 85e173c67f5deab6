"""Axes of a sweep's loss plots: isoFLOP curves for a sweep with budgets, else the field that the sweep varies."""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
SIZES = ("N", "D", "budget")  # of a planned run, beside its config
LABELS = ("data.corpus", "data.tokens", "budget", "steps")  # fields that follow from others or from the corpus
PREFERRED = ("N", "D", "optimizer.lr", "batch", "data.unique")  # preferred for x among fields with as many values
MAX_CURVES = 8  # largest number of curves for a sweep without budgets
MAX_SAE_CURVES = 12  # models × active latents
SAE_FIELDS = ("model.width", "sae.l0", "sae.kind", "sae.site", "sae.layer", "sae.coefficient", "optimizer.lr")
LOSS = "held-out loss, nats per token"
SAE_LOSS = "held-out squared error of autoencoders, relative to the variance"
NAMES = {"N": "N, parameters", "D": "D, tokens", "optimizer.lr": "learning rate", "batch": "batch, sequences",
         "sae.latents": "latents"}  # fmt: skip


def axes(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns `x`, the field that the runs of a sweep are drawn against, and `by`, the fields that separate the curves.

    With budgets, x is N, and the curves are separated by budget and by every other field (except the seed) that differs
    between runs of one budget and width. Otherwise x is the numeric field with most values, and the curves are
    separated by the fields that distinguish most runs of equal x, with at most MAX_CURVES curves.
    Of a sweep with sparse autoencoders, only these are drawn, against their latents; `loss` says what they have.
    """
    if saes := [entry for entry in entries if entry["config"].get("sae")]:
        return {"x": "sae.latents", "by": _sae_fields(saes), "loss": SAE_LOSS}
    if any(entry.get("budget") is not None for entry in entries):
        return {"x": "N", "by": _budget_fields(entries)}
    rows = fields(entries)
    values = _values(rows)
    varying = [name for name in values if len(values[name]) > 1]
    varying.sort(key=lambda name: PREFERRED.index(name) if name in PREFERRED else len(PREFERRED))
    numbers = [name for name in varying if all(_is_number(value) for value in values[name])]
    x = max(numbers, key=lambda name: len(values[name]), default="N")
    by: list[str] = []
    while best := _most_separating(rows, x, by, [name for name in varying if name not in (x, *by)]):
        by.append(best)
    return {"x": x, "by": by}


def _sae_fields(entries: list[dict[str, Any]]) -> list[str]:
    """Returns the fields that separate autoencoders of one number of latents."""
    rows = all_fields(entries)
    by: list[str] = []
    while best := _most_separating(rows, "sae.latents", by, [f for f in SAE_FIELDS if f not in by], MAX_SAE_CURVES):
        by.append(best)
    return by


def _budget_fields(entries: list[dict[str, Any]]) -> list[str]:
    """Returns `budget` and the fields that separate runs of one budget and width, those with few values first."""
    seedless = {repr(entry["config"] | {"seed": None}): entry for entry in entries}  # one entry per config, for speed
    rows = all_fields(list(seedless.values()))
    values = _values(rows)
    excluded = ("N", "D", "seed", "model.width", *LABELS)
    varying = sorted((name for name in values if len(values[name]) > 1 and name not in excluded),
                     key=lambda name: len(values[name]))  # fmt: skip
    by = ["budget"]
    while best := _most_separating(rows, "model.width", by, varying, len(rows)):
        by.append(best)
    return by


def _values(rows: list[Row]) -> dict[str, set[Any]]:
    """Returns the values of each field, including None for runs without the field."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: {row.get(name) for row in rows} for name in names}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _distinct(rows: list[Row], names: Iterable[str]) -> int:
    names = list(names)
    return len({tuple(row.get(name) for name in names) for row in rows})


def _most_separating(
    rows: list[Row], x: str, by: list[str], candidates: list[str], max_curves: int = MAX_CURVES
) -> str | None:
    """Returns the field that separates most runs with equal x and `by`, or None if `max_curves` allows no field."""
    separated, best = _distinct(rows, (x, *by)), None
    if by == [] and separated == len(rows):  # a first field may group runs that x alone already separates
        separated -= 1
    for name in candidates:
        count = _distinct(rows, (x, *by, name))
        if count > separated and _distinct(rows, (*by, name)) <= max_curves:
            separated, best = count, name
    return best


def coordinates(entry: dict[str, Any], sweep_axes: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Returns the x of a run and the values that select its curve.

    Args:
        entry: A run of the sweep.
        sweep_axes: `axes` of the sweep.
    """
    return _field(entry, sweep_axes["x"]), [_field(entry, name) for name in sweep_axes["by"]]


def _field(entry: dict[str, Any], name: str) -> Any:
    """Returns the value of `all_fields` of one name, None for a run without it."""
    if name in SIZES:
        return entry.get(name)
    value: Any = entry["config"]
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _plain(value)


def all_fields(entries: list[dict[str, Any]]) -> list[Row]:
    """Returns all fields of each run by name, and its sizes."""
    return _rows(entries, lambda name, value: True)


def fields(entries: list[dict[str, Any]]) -> list[Row]:
    """Returns the fields of each run by name, with N and D in place of the numeric fields of the model."""
    return _rows(
        entries, lambda name, value: name not in LABELS and not (name.startswith("model.") and _is_number(value))
    )


def _rows(entries: list[dict[str, Any]], is_wanted: Callable[[str, Any], bool]) -> list[Row]:
    """Returns the wanted fields of each run; runs of a sweep share most parts of a config, which are read once."""
    parts: dict[tuple[str, bytes], Row] = {}
    rows = []
    for entry in entries:
        row: Row = {}
        for name, value in (*entry["config"].items(), *((size, entry.get(size)) for size in SIZES)):
            if isinstance(value, dict):
                key = (name, marshal.dumps(value, 2))  # unlike ==, distinguishes 1, 1.0 and True
                if key not in parts:
                    parts[key] = {n: v for n, v in _flat(value, f"{name}.") if is_wanted(n, v)}
                row |= parts[key]
            elif is_wanted(name, plain := _plain(value)):
                row[name] = plain
        rows.append(row)
    return rows


def _flat(data: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, _plain(value)))
    return pairs


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list) else value


def loss_curves(rows: list[Row], most: int | None = None) -> dict[tuple[Any, ...], list[tuple[float, float]]]:
    """Returns the points (x, held-out loss) of each curve in order of x, the mean of several runs at one x.

    Curves without a point yet are empty.

    Args:
        rows: Rows of the status.
        most: Largest number of curves, evenly spaced among all; None: all.
    """
    curves: dict[tuple[Any, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get("x", 0) is None:  # a model beside its autoencoders
            continue
        curve = curves[tuple(row["by"])]
        if row["state"] == "done" and "loss" in row and _is_number(row["x"]):
            curve[row["x"]].append(row["loss"])
    keys = sorted_keys(curves)
    if most is not None and len(keys) > most:
        keys = [keys[i * (len(keys) - 1) // (most - 1)] for i in range(most)]
    return {key: [(x, sum(losses) / len(losses)) for x, losses in sorted(curves[key].items())] for key in keys}


def sorted_keys(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Returns the keys of curves in order: missing values, numbers, text."""
    return sorted(keys, key=lambda key: [(isinstance(v, str), v if v is not None else -1) for v in key])
