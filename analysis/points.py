"""Points: parameters, tokens, FLOPs and loss of runs. The only place where a counting convention is chosen.

Key: N parameters, D tokens, C training FLOPs, L loss in nats a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import columns as columns_of
from analysis import sources
from analysis import where as language
from analysis.laws.law import Law
from analysis.where import DataError
from scaling.record import STATUSES, Store

__all__ = ["Curve", "DataError", "Points", "load"]


@dataclass(frozen=True)
class Curve:
    """Loss along one run: tokens seen and FLOPs spent (m,), loss (m,) in nats a token; held: on held-out text."""

    name: str
    N: float
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    held: bool


@dataclass(frozen=True)
class Points:
    """Runs as arrays (n,), float64. An array of an input that the source does not have is all NaN, and notes say so.

    more: inputs and outputs of laws beyond N, D, C and L, by letter. `points["U"]` gives any of them.
    """

    N: np.ndarray
    D: np.ndarray
    C: np.ndarray
    L: np.ndarray
    names: list[str]
    budgets: np.ndarray | None = None  # planned FLOPs: the key of an isoFLOP group
    groups: list[str] | None = None
    weights: np.ndarray | None = None
    source: str = "arrays"
    notes: tuple[str, ...] = ()
    convention: str = "as given"
    curves: tuple[Curve, ...] | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("N", "D", "C", "L"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        object.__setattr__(self, "more", {k: np.asarray(v, np.float64) for k, v in self.more.items()})
        for name in ("N", "D", "C", "L", *self.more):
            if self[name].shape != (len(self.names),):
                raise DataError(
                    f"points: {name} has shape {self[name].shape}, names has {len(self.names)} entries: "
                    "all must be one-dimensional and equally long"
                )

    def __getitem__(self, letter: str) -> np.ndarray:
        """An input or output by its letter (n,); all NaN where there is none. M is D / N unless it was given."""
        if letter in ("N", "D", "C", "L"):
            return np.asarray(getattr(self, letter))
        if letter in self.more:
            return self.more[letter]
        return self.D / self.N if letter == "M" else np.full(len(self.names), np.nan)

    def __len__(self) -> int:
        return len(self.L)

    def where(self, mask: np.ndarray) -> Points:
        """The points that `mask` (n,) keeps, in order; also takes indices."""
        chosen = np.arange(len(self))[mask]
        changed: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                changed[one.name] = value[chosen]
            elif isinstance(value, list):
                changed[one.name] = [value[i] for i in chosen]
            elif isinstance(value, dict):
                changed[one.name] = {letter: array[chosen] for letter, array in value.items()}
        return replace(self, **changed)  # type: ignore[arg-type]


def load(
    source: str | Path | pd.DataFrame | Mapping[str, object],
    *,
    law: Law | None = None,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    flops: str | None = None,
    params: str = "total",
    curves: bool = False,
) -> Points:
    """Points of a store's runs that are done, or of a CSV, TSV, Parquet or JSON-lines file, a DataFrame or arrays.

    law: says which letters are wanted (N, D, C and L where None). columns: {"N": "column", ...} for those, and budget,
    name, group, weight; y stands for the law's output; the rest is guessed from common
    names, and notes say what was guessed. where: rows to keep (analysis/where.py). flops: for a store 6nd
    (default), 6nd-nonembedding, exact or exact-full-attention; for a file its own column C, else (or on
    "6nd") 6·N·D. params: total or nonembedding. curves: read a store's learning curves as well.
    Raises DataError (one line).
    """
    if isinstance(source, pd.DataFrame | Mapping):
        frame = pd.DataFrame(source).reset_index(drop=True)
        frame.columns = [str(name) for name in frame.columns]
        return _from_frame(frame, Path("table"), columns, where, flops, params, law)
    path = Path(source)
    if path.is_dir():
        return _load_store(path, columns, where, flops or "6nd", params, curves)
    if not path.exists():
        raise DataError(f"{path}: not there: a source is {sources.KINDS}")
    frame = sources.read_table(path).reset_index(drop=True)
    return _from_frame(frame, path, columns, where, flops, params, law)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _load_store(
    path: Path, columns: Mapping[str, str] | None, where: str | None, flops: str, params: str, curves: bool
) -> Points:
    if columns:
        raise DataError(f"columns {', '.join(columns)}: a store has no columns to choose; leave them out for {path}")
    frame = sources.runs(path, flops, params)
    if not len(frame):
        raise DataError(f"{path}: no runs in this store (no runs/*/record.json)")
    frame, notes = _done(frame)
    names = {"N": "N", "D": "D", "C": "C", "L": "loss"}
    kept, note = _filter(frame, where, names, path)
    frame, notes = frame[kept], notes + note
    if not len(frame):
        raise DataError(f"{path}: no run is left to fit: " + ("; ".join(notes) or "none is done"))
    precisions = sorted({p for p in frame["computed_in"] if isinstance(p, str)})
    if len(precisions) > 1:
        notes.append(
            f"runs computed in {' and in '.join(precisions)} stand side by side: their losses differ by rounding"
        )
    shared = int((frame["shared_steps"] > 0).sum())
    if shared:
        notes.append(
            f"{_count(shared, 'run')} began on another's trajectory (prefix sharing): what chance did to a size is in "
            "all of its runs, and intervals drawn run by run don't know of it; more seeds would"
        )
    values = {}
    for letter, name in names.items():
        values[letter] = frame[name].to_numpy(np.float64)
        bad = ~(np.isfinite(values[letter]) & (values[letter] > 0))
        if bad.any():
            run = frame["run_id"].iloc[int(np.argmax(bad))]
            raise DataError(f"{path}: run {run}: its record has no usable {name} ({values[letter][np.argmax(bad)]})")
    budgets = frame["budget"].to_numpy(np.float64)
    if not np.isfinite(budgets).all():
        if np.isfinite(budgets).any():
            notes.append(f"{_count(int((~np.isfinite(budgets)).sum()), 'run')} without a planned budget")
        else:
            budgets = None  # type: ignore[assignment]
    sweeps = [s if isinstance(s, str) else "" for s in frame["sweep"]]
    points = Points(
        N=values["N"],
        D=values["D"],
        C=values["C"],
        L=values["L"],
        names=list(frame["run_id"]),
        budgets=budgets,
        groups=sweeps if any(sweeps) else None,
        source=str(path),
        notes=tuple(notes),
        convention=f"N: {_PARAMS[params]}; C: {_FLOPS[flops]}",
        curves=_curves(path, frame) if curves else None,
    )
    return _with_duplicates(points)


def _done(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Runs that are done, where the table says how runs ended; a note that counts the others."""
    if "status" not in frame or not frame["status"].isin(STATUSES).all():
        return frame, []
    done = frame["status"] == "done"
    left = frame.loc[~done, "status"].value_counts()
    said = ", ".join(f"{number} {status}" for status, number in left.items())
    return frame[done], [f"{_count(int(left.sum()), 'run')} left out: {said}"] if said else []


_PARAMS = {"total": "all parameters", "nonembedding": "parameters without embedding and head"}
_FLOPS = {
    "6nd": "6·N·D with all parameters",
    "6nd-nonembedding": "6·N·D without embedding and head",
    "exact": "every matrix product, causal attention and head included",
    "exact-full-attention": "every matrix product, unmasked attention and head included",
}


def _curves(path: Path, frame: pd.DataFrame) -> tuple[Curve, ...]:
    store, found = Store(path), []
    for run, N, D, C, steps in zip(*(frame[c] for c in ("run_id", "N", "D", "C", "steps")), strict=True):
        rows = store.curve(run)
        held = [(r["step"], r["val_loss"]) for r in rows if r.get("val_loss") is not None]
        use = held if len(held) > 1 else [(r["step"], r["loss"]) for r in rows if r.get("loss") is not None]
        if use:
            step, loss = np.array(use, np.float64).T
            found.append(Curve(run, N, D * step / steps, C * step / steps, loss, len(held) > 1))
    return tuple(found)


def _filter(
    frame: pd.DataFrame, where: str | None, names: Mapping[str, str], path: Path
) -> tuple[np.ndarray, list[str]]:
    """Rows that `where` keeps, and a note that counts the others."""
    if where is None:
        return np.ones(len(frame), bool), []
    empty = np.zeros(len(frame), bool)

    def values(letter: str) -> np.ndarray:
        name = names.get(letter, letter)
        if name not in frame.columns:
            if letter == "C" and "N" in names and "D" in names:
                return 6 * values("N") * values("D")
            raise DataError(
                f"where {where!r}: no column {letter!r}: there are {columns_of.listed([*names, *frame.columns])}"
            )
        column = frame[name]
        if column.dtype == bool:
            return column.to_numpy()
        text = column.astype("string").str.strip()
        void = (text.isna() | (text == "")).to_numpy(bool)
        number = pd.to_numeric(text.mask(void), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        words = ~void & np.isnan(number) & ~text.str.lower().isin(["nan"]).to_numpy(bool, na_value=False)
        if not words.any():
            empty[:] |= np.isnan(number)
            return number
        if letter in names and letter in "NDCL":
            sources.numbers(frame[words], name, path)
        if text[~void].str.lower().isin(["true", "false"]).all():
            return (text.str.lower() == "true").to_numpy(bool, na_value=False)
        return text.fillna("").to_numpy(object)

    kept = language.rows(where, values, len(frame))
    left = int((~kept).sum())
    because = f" ({int((empty & ~kept).sum())} of them for an empty cell)" if (empty & ~kept).any() else ""
    return kept, [f"{_count(left, 'row')} left out by where {where!r}{because}"] if left else []


def _from_frame(
    frame: pd.DataFrame,
    path: Path,
    columns: Mapping[str, str] | None,
    where: str | None,
    flops: str | None,
    params: str,
    law: Law | None,
) -> Points:
    if params not in sources.PARAMS:
        raise DataError(f"params = {params!r}: allowed are {', '.join(sources.PARAMS)}")
    if flops not in (None, "6nd"):
        raise DataError(f"flops = {flops!r}: a file carries no counts by part: allowed is 6nd, or name a column as C")
    chosen, notes = columns_of.choose(frame, columns, params, path, law)
    columns_of.sufficient(frame, chosen, path, law)
    frame, note = _done(frame)
    kept, more = _filter(frame, where, chosen, path)
    frame, note = frame[kept], note + more
    notes += note
    if not len(frame):
        raise DataError(f"{path}: no rows to fit" + (f": {'; '.join(note)}" if note else ""))
    extra = columns_of.extra(law)
    have = {k: sources.numbers(frame, chosen[k], path) for k in "NDCL" if k in chosen}
    signed = law.signed if law else ()
    others = {k: sources.numbers(frame, chosen[k], path, k not in signed) for k in extra if k in chosen}
    for named in [k for k in ("budget", "weight") if k in chosen]:
        try:
            have[named] = sources.numbers(frame, chosen[named], path)
        except DataError as error:
            if columns and named in columns:
                raise
            notes.append(f"{named} not used after all: {error}")
    convention, said = columns_of.complete(have, chosen, flops, params, len(frame))
    names = frame[chosen["name"]].astype(str).tolist() if "name" in chosen else []
    if len(set(names)) < len(frame):  # labels that do not tell rows apart cannot name one
        names = [sources.where_in_file(path, i) for i in frame.index]
    points = Points(
        N=have["N"],
        D=have["D"],
        C=have["C"],
        L=have.get("L", np.full(len(frame), np.nan)),
        names=names,
        budgets=have.get("budget"),
        groups=frame[chosen["group"]].astype(str).tolist() if "group" in chosen else None,
        weights=have.get("weight"),
        source=str(path),
        notes=tuple(notes + said),
        convention=convention,
        more=others,
    )
    return _with_duplicates(points)


def duplicates(points: Points) -> list[str]:
    """Rows that are the same in all inputs and outputs as an earlier one: "later = earlier"."""
    first: dict[tuple[float, ...], str] = {}
    twins = []
    rows = np.nan_to_num(np.stack([points.N, points.D, points.C, points.L, *points.more.values()], -1)).tolist()
    for row, name in zip(rows, points.names, strict=True):
        seen = first.setdefault(tuple(row), name)
        if seen is not name:
            twins.append(f"{name} = {seen}")
    return twins


def _with_duplicates(points: Points) -> Points:
    twins = duplicates(points)
    if not twins:
        return points
    return replace(points, notes=(*points.notes, f"duplicate rows, both kept: {columns_of.listed(twins, 5)}"))
