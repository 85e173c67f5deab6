"""A store's runs as points, in a counting convention; any field of their configs and any score is a column too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data import from_table, runs
from analysis.data.columns import Choice
from analysis.data.points import Curve, Points
from analysis.data.table import Table, count
from analysis.errors import DataError
from scaling.store.record import Store

USUAL = {"N": "N", "D": "D", "C": "C", "L": "loss", "name": "run_id", "group": "sweep"}


def points_of(path: Path, wanted: from_table.Wanted, curves: bool) -> Points:
    """Points of the runs that are done. Raises DataError (one line)."""
    flops = wanted.flops or "6nd"
    frame = runs.runs(path, flops, wanted.params)
    if not len(frame):
        raise DataError(f"{path}: no runs in this store (no runs/*/record.json)")
    table = Table(frame, str(path), tuple(frame.attrs["notes"]), named="run_id")
    given = set(wanted.columns or {})
    said = "" if "N" in given else f"N: {runs.PARAMS[wanted.params]}"
    counted = "; ".join([s for s in (said, "" if "C" in given else f"C: {runs.FLOPS[flops]}") if s])
    named = "; ".join(f"{letter}: {name}" for letter, name in (wanted.columns or {}).items())
    points = from_table.points_of(
        table, replace(wanted, flops=None, usual=USUAL), "; ".join(part for part in (counted, named) if part)
    )
    kept = frame.set_index("run_id").loc[points.names].reset_index()
    planned = kept["budget"].to_numpy(np.float64)
    if points.budgets is None and np.isfinite(planned).any():  # runs without one stay, in no group
        points = replace(points, budgets=planned)
    shared = (kept["shared_steps"] > 0).to_numpy(bool)
    points = replace(points, notes=(*points.notes, *_said(kept)), shared=shared if shared.any() else None)
    return replace(points, curves=_curves(path, kept)) if curves else points


def only(frame: pd.DataFrame, path: Path, where: str | None) -> pd.DataFrame:
    """The runs of a table that `where` keeps. Raises DataError (one line)."""
    table, chosen = Table(frame, str(path), named="run_id"), Choice(USUAL, frozenset(), {}, ())
    return from_table.keep(table, where, chosen, from_table.Reader(table, chosen, {}, None, drop_bad=True)).frame


def _said(frame: pd.DataFrame) -> list[str]:
    """What the runs that are left are, beside their numbers."""
    notes = []
    without = int(frame["budget"].isna().sum())
    if 0 < without < len(frame):
        notes.append(f"{count(without, 'run')} without a planned budget")
    precisions = sorted({p for p in frame["computed_in"] if isinstance(p, str)})
    if len(precisions) > 1:
        notes.append(
            f"runs computed in {' and in '.join(precisions)} stand side by side: their losses differ by rounding"
        )
    shared = int((frame["shared_steps"] > 0).sum())
    if shared:
        notes.append(
            f"{count(shared, 'run')} began on another's trajectory (prefix sharing): what chance did to a size is in "
            "all of its runs; bootstraps draw them by size where there are five sizes, and don't know of it where not"
        )
    return notes


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
