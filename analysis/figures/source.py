"""Source of figures and reports: points, fits and studies, and for a store its records and learning curves."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import laws
from analysis.data import runs as runs_module
from analysis.data.from_store import filter_runs
from analysis.data.load import load as load_points
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.rows.saes import SAES
from analysis.data.sources.readers import is_store
from analysis.errors import DataError, FitError
from analysis.evals.options import EmergenceOptions
from analysis.evals.score_table.read import has_only_scores
from analysis.figures.options import SourceOptions
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann.isoflop import IsoFlop, fit_isoflop
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.conventions import Convention, compare_conventions
from analysis.studies.learning.curves import learning_curve_health
from scaling.config.options import format_options
from scaling.store.curves.health import SweepHealth
from scaling.store.record import Record

SCORES_ONLY = "a table of scores, without losses of runs"  # note of points


@dataclass(frozen=True)
class LearningCurve:
    """Losses of a run against compute.

    Attributes:
        run_id: Id of the run.
        status: Status of its record.
        N: Parameters.
        C: Compute at the logged steps in FLOPs (s,).
        loss: Training loss at these steps in nats per token (s,).
        val_C: Compute at the evaluated steps in FLOPs (v,); may be empty.
        val_loss: Held-out loss at these steps in nats per token (v,).
    """

    run_id: str
    status: str
    N: float
    C: np.ndarray
    loss: np.ndarray
    val_C: np.ndarray
    val_loss: np.ndarray


@dataclass(frozen=True)
class Source:
    """Points with their fits and studies, which are computed at first use.

    Attributes:
        name: Path of the store or file, as given.
        points: Points; empty if no run is finished, or for a figure without points.
        records: All records of a store, empty for a file.
        runs: All runs of a store, one row each (analysis/data/runs.py); None for a file.
        store: The store, which reads each record and curve once; None for a file.
        reading: Options with which the points were read.
        options: Options of all fits.
        scores: Scale, tasks and metrics of figures of scores (analysis.figures.options.SCORES).
        results: Fits, studies and FitErrors by name.
    """

    name: str
    points: Points
    records: tuple[Record, ...] = ()
    runs: pd.DataFrame | None = None
    store: StoreSnapshot | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    options: FitOptions = field(default_factory=FitOptions)
    scores: EmergenceOptions = field(default_factory=EmergenceOptions)
    results: dict[str, Any] = field(default_factory=dict, repr=False)

    def fit(self, law: str) -> Fit:
        """Returns the fit of a law to the points. Raises FitError."""
        return self.result(law, lambda: fit(self.points, law, self.options))

    def fit_with_profiles(self, law: str) -> Fit:
        """Returns the fit of a law with intervals by profile likelihood. Raises FitError."""

        def compute() -> Fit:
            plain = self.fit(law)
            fixed = {name: value for name, value in plain.constraints.items() if not isinstance(value, str)}
            tied = {name: value for name, value in plain.constraints.items() if isinstance(value, str)}
            options = replace(self.options, fix=fixed, tie=tied, intervals="profile")
            return fit(self.points, plain.form or law, options)

        return self.result(f"profiles of {law}", compute)

    def isoflop(self) -> IsoFlop:
        """Returns the parabolas of approach 2. Raises FitError."""
        return self.result("isoflop", lambda: fit_isoflop(self.points, self.options))

    def conventions(self) -> list[Convention]:
        """Returns the exponents under each counting convention. Raises FitError, DataError."""
        return self.result(
            "conventions",
            lambda: compare_conventions(self.store or self.name, fit_options=self.options, reading=self.reading),
        )

    def curves(self) -> list[LearningCurve]:
        """Returns the learning curves of a store in order of model size. Raises DataError for a file."""
        if self.store is None:
            raise DataError(f"{self.name}: a file has no learning curves: give a store")
        if "curves" not in self.results:
            self.results["curves"] = _learning_curves(self)
        curves: list[LearningCurve] = self.results["curves"]
        return curves

    def health(self) -> dict[str, SweepHealth]:
        """Returns the comparison of the learning curves of each sweep of a store. Raises DataError for a file."""
        if self.store is None:
            raise DataError(f"{self.name}: a file has no learning curves: give a store")
        if "health" not in self.results:
            self.results["health"] = learning_curve_health(self.store, self.records)
        health: dict[str, SweepHealth] = self.results["health"]
        return health

    @property
    def has_only_scores(self) -> bool:
        """Whether the source is a table of scores, without losses to fit."""
        return self.store is None and SCORES_ONLY in self.points.notes

    @property
    def level(self) -> float:
        """Coverage of all intervals."""
        return self.options.level

    @property
    def entropy_rate(self) -> float | None:
        """Entropy rate of the text in nats per token, if all finished runs share a corpus with a known rate."""
        rates = {r.about.get("corpus_facts", {}).get("entropy_rate") for r in self.records if r.status == "done"}
        return rates.pop() if len(rates) == 1 else None

    def arguments(self, only: Collection[str] = ()) -> list[str]:
        """Returns the command-line flags of the options that differ from their defaults.

        Args:
            only: Names of the options to include, all unless given.
        """
        groups = (self.reading, self.options, self.scores)
        return [word for group in groups for word in format_options(group, only=only)]

    def result(self, name: str, compute: Callable[[], Any]) -> Any:
        """Returns a result, computed at first use. A FitError of the computation is stored and raised on each use.

        Args:
            name: Key of the result in `results`.
            compute: Computes the result from the points.
        """
        if name not in self.results:
            try:
                if not len(self.points):
                    raise FitError("no run is finished, so there is nothing to fit")
                self.results[name] = compute()
            except FitError as error:
                self.results[name] = error
        value = self.results[name]
        if isinstance(value, FitError):
            raise value
        return value


def load(
    source: str | Path | StoreSnapshot,
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
    law: str | None = None,
) -> Source:
    """Loads a store or a file. A store without finished runs has no points, but its curves and runs can be shown.

    Args:
        source: A store, its folder, or a .csv, .tsv, .parquet, .json or .jsonl file.
        options: Options of all fits.
        reading: Options of reading the source.
        law: Law whose columns are read from a file, and whose kind of runs from a store; None reads N, D, C and L.

    Raises:
        DataError: The source cannot be read.
    """
    path = Path(source)
    if options.weights == "seeds":
        reading = reading.with_seeds()
    form = laws.find(law) if law and law not in laws.APPROACHES else None
    if not is_store(source):
        if form is None and has_only_scores(path, reading):
            return Source(str(source), no_points(path, SCORES_ONLY), reading=reading, options=options)
        return Source(str(source), load_points(path, form, reading), reading=reading, options=options)
    store = as_snapshot(source)
    runs = runs_module.read_runs(store, reading.flops, reading.params)
    try:
        points = load_points(store, form if form and form.runs == SAES else None, reading, curves=True)
    except DataError as error:
        if not len(runs) or (runs["status"] == "done").any():
            raise
        points = no_points(source, str(error))
    return Source(str(source), points, tuple(store.records()), runs, store, reading, options)


def source_of_study(path: str | Path | StoreSnapshot, name: str, study: Any, options: SourceOptions) -> Source:
    """Returns the source of a figure that shows the result of a study instead of points.

    Args:
        path: Source of the study.
        name: Key of the study in `Source.results`.
        study: The study.
        options: Options of the study.
    """
    return Source(
        str(path),
        no_points(path),
        reading=options.reading,
        options=options.fits,
        scores=options.scores,
        results={name: study},
    )


def no_points(source: str | Path | StoreSnapshot, *notes: str) -> Points:
    """Returns empty points.

    Args:
        source: Name of the source.
        *notes: Reasons that there are no points.
    """
    empty = np.zeros(0)
    return Points(empty, empty, empty, empty, [], source=str(source), notes=notes)


def _learning_curves(source: Source) -> list[LearningCurve]:
    """Learning curves. The compute at a step is the share of the tokens read times the compute of the run."""
    assert source.store is not None and source.runs is not None
    curves, records = [], {record.run_id: record for record in source.records}
    runs = filter_runs(source.runs, Path(source.name), source.reading.where)
    for run in runs.to_dict("records"):
        rows = source.store.curve(run["run_id"])
        if not rows or not np.isfinite(run["N"]) or not np.isfinite(run["C"]):
            continue
        train, val = (_column(rows, name) for name in ("loss", "val_loss"))
        token_share = records[run["run_id"]].token_share
        C, val_C = (run["C"] * np.array([token_share(int(step)) for step in steps]) for steps in (train[0], val[0]))
        curves.append(LearningCurve(run["run_id"], run["status"], run["N"], C, train[1], val_C, val[1]))
    return sorted(curves, key=lambda curve: (curve.N, curve.run_id))


def _column(rows: list[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the measurements of a column after step 0."""
    pairs = [(row["step"], row[name]) for row in rows if name in row and row["step"] > 0]
    steps, values = np.array(pairs, dtype=float).reshape(-1, 2).T
    return steps, values
