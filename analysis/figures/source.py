"""What figures and the report draw from: points, the fits of them, and, for a store, its records and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import laws
from analysis.data import runs as runs_module
from analysis.data.load import load as load_points
from analysis.data.points import Points
from analysis.errors import DataError
from scaling.store.record import Record, Store

if TYPE_CHECKING:
    from analysis.fitting.isoflop import IsoFlop
    from analysis.fitting.result import Fit
    from analysis.studies.conventions import Counting


@dataclass(frozen=True)
class Curve:
    """A run's losses against compute, nats a token; empty arrays where nothing was measured."""

    run_id: str
    status: str
    N: float
    C: np.ndarray
    loss: np.ndarray
    val_C: np.ndarray
    val_loss: np.ndarray


@dataclass(frozen=True)
class Source:
    """Points with their fits, made when first asked for and then kept. `records` is empty for a file."""

    name: str
    points: Points
    records: tuple[Record, ...] = ()
    runs: pd.DataFrame | None = None  # a store's runs whatever their status, as analysis/data/runs.py has them
    store: Store | None = None
    choices: dict[str, Any] = field(default_factory=dict)  # of columns, rows and conventions
    options: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def fit(self, law: str) -> Fit:
        """The fit of a law to the points; FitError where it cannot be done."""
        from analysis.fitting.fit import fit

        return self.keep(law, lambda: fit(self.points, law, **self.options))

    def profiled(self, law: str) -> Fit:
        """The same with intervals by profile, and the profiles themselves."""
        from analysis.fitting.fit import fit

        def again() -> Fit:
            plain = self.fit(law)
            held = {"fix": {k: v for k, v in plain.held.items() if not isinstance(v, str)}}
            tied = {"tie": {k: v for k, v in plain.held.items() if isinstance(v, str)}}
            return fit(self.points, plain.form or law, **{**self.options, **held, **tied, "intervals": "profile"})

        return self.keep(f"profiles of {law}", again)

    def isoflop(self) -> IsoFlop:
        """Approach 2's parabolas; FitError where there are none."""
        from analysis.fitting.isoflop import isoflop

        taken = {k: v for k, v in self.options.items() if k in ("bootstrap", "seed", "level")}
        return self.keep("isoflop", lambda: isoflop(self.points, **taken))

    def countings(self) -> list[Counting]:
        """The runs counted each way, read again from where they came; FitError, DataError where they cannot be."""
        from analysis.studies.conventions import conventions

        reading = {k: v for k, v in self.choices.items() if k not in ("flops", "params")}
        return self.keep("conventions", lambda: conventions(self.name, **reading, **self.options))

    def curves(self) -> list[Curve]:
        """Learning curves in order of model size; DataError for a source that has none."""
        if self.store is None:
            raise DataError(f"{self.name}: learning curves are kept in a store alone, and this is a file: give a store")
        return self.keep("curves", lambda: _curves(self))

    @property
    def level(self) -> float:
        """Of every interval drawn."""
        return float(self.options.get("level", 0.95))

    @property
    def entropy_rate(self) -> float | None:
        """Of the text, nats a token, where its corpus has a known one and all runs share it."""
        known = {r.about.get("corpus_facts", {}).get("entropy_rate") for r in self.records if r.status == "done"}
        return known.pop() if len(known) == 1 else None

    def arguments(self) -> list[str]:
        """The choices made when loading, as options of the command line."""
        given = {**self.choices, **self.options}
        for pairs in ("columns", "units"):
            given[pairs] = ",".join(f"{k}={name}" for k, name in (given.get(pairs) or {}).items()) or None
        given.pop("params" if given.get("params") == "total" else "", None)
        bare = ["--drop-bad"] if given.pop("drop_bad", False) else []
        return bare + [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]

    def keep(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once; the FitError that it raised is raised again."""
        from analysis.errors import FitError

        if key not in self.kept:
            try:
                if not len(self.points) and key != "curves":
                    raise FitError("no run is done: there is nothing to fit")
                self.kept[key] = make()
            except FitError as error:
                self.kept[key] = error
        found = self.kept[key]
        if isinstance(found, FitError):
            raise found
        return found


def load(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    drop_bad: bool = False,
    where: str | None = None,
    flops: str | None = None,
    params: str = "total",
    law: str | None = None,
    **options: Any,
) -> Source:
    """A store, CSV, TSV, Parquet or JSON-lines file to draw from; `options` go to every fit (analysis/fitting/fit.py).

    law: the one whose columns are read from a file (N, D, C and L unless given).
    A store none of whose runs is done still loads, without points: its curves and its table can be shown.
    Raises DataError (one line).
    """
    path = Path(source)
    choices: dict[str, Any] = {"columns": columns, "units": units, "where": where, "flops": flops, "params": params}
    choices["drop_bad"] = drop_bad
    if not path.is_dir():
        form = laws.find(law) if law and law not in laws.APPROACHES else None
        return Source(str(source), load_points(path, law=form, **choices), choices=choices, options=options)
    store = Store(path)
    runs = runs_module.runs(path, flops or "6nd", params)
    try:
        points = load_points(path, curves=True, **choices)
    except DataError as error:
        if not len(runs) or (runs["status"] == "done").any():
            raise
        nothing = np.zeros(0)
        points = Points(nothing, nothing, nothing, nothing, [], source=str(source), notes=(str(error),))
    return Source(str(source), points, tuple(store.records()), runs, store, choices, options)


def _curves(source: Source) -> list[Curve]:
    """Compute at a step is the run's compute times its share of the sequences: each of them costs the same."""
    assert source.store is not None and source.runs is not None
    out, configs = [], {record.run_id: record.config for record in source.records}
    for run in source.runs.to_dict("records"):
        rows = source.store.curve(run["run_id"])
        if not rows or not np.isfinite(run["N"]) or not np.isfinite(run["C"]):
            continue
        train, val = (_column(rows, name) for name in ("loss", "val_loss"))
        spent = [run["C"] * _share(configs[run["run_id"]], steps) for steps in (train[0], val[0])]
        losses = (spent[0], train[1], spent[1], val[1])
        out.append(Curve(run["run_id"], run["status"], run["N"], *losses))
    return sorted(out, key=lambda curve: (curve.N, curve.run_id))


def _share(config: Any, steps: np.ndarray) -> np.ndarray:
    """Of a run's sequences, those that its first steps read."""
    if not config.schedule.batch_ramp:
        return steps / config.steps
    return np.array([config.sequences(int(step)) for step in steps]) / config.sequences(config.steps)


def _column(rows: list[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a column where it was measured, after the first step."""
    pairs = [(row["step"], row[name]) for row in rows if name in row and row["step"] > 0]
    steps, values = np.array(pairs, dtype=float).reshape(-1, 2).T
    return steps, values
