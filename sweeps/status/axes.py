"""What a sweep's losses are drawn against: isoFLOP curves where it has budgets, else the field that it sweeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
LABELS = ("data.corpus", "data.tokens", "budget", "steps")
FIRST = ("N", "D", "optimizer.lr", "batch", "data.unique")  # of fields that take as many values
SERIES = 8  # curves, at most, of a sweep without budgets
NAMES = {"N": "N, parameters", "D": "D, tokens", "optimizer.lr": "learning rate", "batch": "batch, sequences"}


def axes(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """x: the field that the runs are drawn against, by: those that tell their curves apart.

    Where there are budgets, theirs, and whatever else but the seed tells runs of one budget and width apart. Else x is
    the number with most values, and by what tells most runs apart that share an x, in few curves.
    """
    if any(entry.get("budget") is not None for entry in entries):
        return {"x": "N", "by": _of_budgets(entries)}
    rows = [fields(entry) for entry in entries]
    values = _values(rows)
    varying = [name for name in values if len(values[name]) > 1]
    varying.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    numbers = [name for name in varying if all(_is_number(value) for value in values[name])]
    x = max(numbers, key=lambda name: len(values[name]), default="N")
    by: list[str] = []
    while best := _tells_apart(rows, x, by, [name for name in varying if name not in (x, *by)]):
        by.append(best)
    return {"x": x, "by": by}


def _of_budgets(entries: list[dict[str, Any]]) -> list[str]:
    """`budget`, then the fields that tell apart runs of one budget and width, those of few values first."""
    seedless = {
        repr(entry["config"] | {"seed": None}): entry for entry in entries
    }  # ten thousand may be seeds of a few
    rows = [whole(entry) for entry in seedless.values()]
    values = _values(rows)
    told = ("N", "D", "seed", "model.width", *LABELS)
    varying = sorted((name for name in values if len(values[name]) > 1 and name not in told),
                     key=lambda name: len(values[name]))  # fmt: skip
    by = ["budget"]
    while best := _tells_apart(rows, "model.width", by, varying, len(rows)):
        by.append(best)
    return by


def _values(rows: list[Row]) -> dict[str, set[Any]]:
    """Values of each field, None where a run has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: {row.get(name) for row in rows} for name in names}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tells_apart(rows: list[Row], x: str, by: list[str], others: list[str], most: int = SERIES) -> str | None:
    """The field that tells most more runs apart than x and `by` do, None where none does in at most so many curves."""
    known, best = len({tuple(row.get(name) for name in (x, *by)) for row in rows}), None
    if by == [] and known == len(rows):  # the first may still group what x alone tells apart
        known -= 1
    for name in others:
        apart = len({tuple(row.get(n) for n in (x, *by, name)) for row in rows})
        if apart > known and len({tuple(row.get(n) for n in (*by, name)) for row in rows}) <= most:
            known, best = apart, name
    return best


def place(entry: dict[str, Any], drawn: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Where a run is drawn: its x, and what tells its curve."""
    if drawn["by"] == ["budget"]:
        return entry["N"], [entry.get("budget")]
    of = whole(entry)
    return of.get(drawn["x"]), [of.get(name) for name in drawn["by"]]


def whole(entry: dict[str, Any]) -> Row:
    """All fields of a run by name, and its sizes."""
    return dict(_flat(entry["config"], "")) | {"N": entry["N"], "D": entry["D"], "budget": entry.get("budget")}


def fields(entry: dict[str, Any]) -> Row:
    """A run's fields by name, its sizes in place of what they follow from."""
    of = whole(entry)
    return {n: of[n] for n in of if n not in LABELS and not (n.startswith("model.") and _is_number(of[n]))}


def _flat(data: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{name}.")
        else:
            out.append((prefix + name, str(value) if isinstance(value, list) else value))
    return out


def series(rows: list[Row], most: int | None = None) -> dict[tuple[Any, ...], list[tuple[float, float]]]:
    """Points (x, held-out loss) of each curve, in order of x; of several at one x the mean. most: curves, spread out.

    Curves without a point yet are there, empty: what is to come is known.
    """
    found: dict[tuple[Any, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        curve = found[tuple(row["by"])]
        if row["state"] == "done" and "loss" in row and _is_number(row["x"]):
            curve[row["x"]].append(row["loss"])
    keys = in_order(found)
    if most is not None and len(keys) > most:
        keys = [keys[i * (len(keys) - 1) // (most - 1)] for i in range(most)]
    return {key: [(x, sum(ys) / len(ys)) for x, ys in sorted(found[key].items())] for key in keys}


def in_order(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What tells curves apart, in order: what is not there, numbers, text."""
    return sorted(keys, key=lambda key: [(isinstance(v, str), v if v is not None else -1) for v in key])
