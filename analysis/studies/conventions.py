"""Kaplan's and Chinchilla's exponents from the same runs under each counting convention that the source allows.

The exponent of N*(C) depends on what N and C count. Kaplan (2020) excluded embeddings from both and found N* ~ C^0.73;
Hoffmann (2022) counted all parameters and found C^0.50. At small scale, where embeddings are most of a model, the
convention explains most of that difference (Pearce 2024; Porian 2024 adds warm-up and tuning).

Key: N parameters, D tokens, C FLOPs, L nats per token; s exponent of C/D in N over the runs (1 if C = 6·N·D);
B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis import format
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points, group_by_budget
from analysis.data.runs import FLOP_COUNTS, PARAM_COUNTS
from analysis.data.sources.readers import is_store
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws.loss.chinchilla import chinchilla_optimum
from analysis.studies.options import ConventionsOptions
from analysis.uncertainty import intervals

KAPLAN_LAWS = {"alpha_N": "kaplan-n", "alpha_D": "kaplan-d", "alpha_C": "kaplan-c"}
MAX_SPREAD = 0.02  # largest spread in ln C within a budget without moving its runs to one C
SAME_COUNT = 0.01  # relative difference up to which two counts are considered equal
COLUMN_TITLES = {
    "a chinchilla-2": "a, approach 2",
    "a chinchilla": "a, approach 3",
    "a kaplan": "alpha_C/alpha_N",
    "alpha_N": "alpha_N",
    "alpha_C": "alpha_C",
    "alpha_D": "alpha_D",
}

Interval = tuple[float, float]


@dataclass(frozen=True)
class Exponent:
    """An exponent with its interval.

    Attributes:
        value: The exponent, NaN if it could not be estimated.
        interval: Interval of the exponent.
        samples: Bootstrap samples of the exponent (B,).
        reason: Reason that it could not be estimated, else "".
        scale: ln N* at 1 FLOP, for exponents of N*(C).
    """

    value: float
    interval: Interval
    samples: np.ndarray
    reason: str = ""
    scale: float = float("nan")


@dataclass(frozen=True)
class Convention:
    """The runs under one counting convention.

    Attributes:
        N: What N counts.
        C: What C counts.
        points: The runs under this convention.
        s: Exponent of C/D in N over the runs.
        exponents: a by approach ("a chinchilla-2", "a chinchilla"), a by Kaplan's route ("a kaplan"), and Kaplan's
            alpha_N, alpha_D and alpha_C.
        notes: Notes, one line each.
    """

    N: str
    C: str
    points: Points
    s: float
    exponents: dict[str, Exponent]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in tables and figures."""
        return f"N {self.N}, C {self.C}"

    def to_json(self) -> dict[str, Any]:
        """Returns the exponents in types of JSON."""
        return {
            "N": self.N,
            "C": self.C,
            "s": self.s,
            "exponents": {
                name: {"value": e.value, "interval": e.interval} | ({"reason": e.reason} if e.reason else {})
                for name, e in self.exponents.items()
            },
            "notes": list(self.notes),
        }


def compare_conventions(
    source: Any,
    options: ConventionsOptions = ConventionsOptions(),
    fit_options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> list[Convention]:
    """Estimates the exponents under each counting convention that a store or file allows.

    Args:
        source: Any source of `load`.
        options: Approaches, and the column of N without embeddings.
        fit_options: Options of the fits; objective and weights apply only to approach 3.
        reading: Options of reading the source; the counting convention is ignored.

    Raises:
        DataError: The source cannot be read or lacks N, D or C.
        FitError: No exponent could be estimated.
    """
    plain_options = FitOptions(bootstrap=fit_options.bootstrap, seed=fit_options.seed, level=fit_options.level)
    counted = _counted_points(source, options.nonembedding, reading)
    base = counted[0][2]
    surfaces: dict[str, Fit | FitError] = {}  # by what N counts: approach 3 fits L(N, D)
    kaplan: dict[tuple[str, str], Exponent] = {}  # by name and by what its own variable counts
    conventions = []
    for n, c, points in counted:
        if n not in surfaces:
            surfaces[n] = _fit_surface(points, fit_options)
        keys = {"alpha_N": n, "alpha_D": "tokens", "alpha_C": c}
        for key in keys.items():
            if key not in kaplan:
                kaplan[key] = _kaplan_exponent(points, KAPLAN_LAWS[key[0]], plain_options)
        alphas = {name: kaplan[name, count] for name, count in keys.items()}
        s, ln_c0 = (float(x) for x in np.polyfit(np.log(points.N), np.log(points.C / points.D), 1))
        exponents: dict[str, Exponent] = {}
        notes: tuple[str, ...] = ()
        if "chinchilla-2" in options.laws:
            exponents["a chinchilla-2"], notes = _approach_2(points, base, surfaces[n], plain_options)
        if "chinchilla" in options.laws:
            exponents["a chinchilla"] = _approach_3(surfaces[n], s, ln_c0, fit_options.level)
        exponents["a kaplan"] = _kaplan_route(alphas["alpha_C"], alphas["alpha_N"], fit_options.level)
        conventions.append(Convention(n, c, points, s, {**exponents, **alphas}, notes))
    reasons = [exponent.reason for convention in conventions for exponent in convention.exponents.values()]
    if all(reasons):
        raise FitError(reasons[0])
    return conventions


def _counted_points(source: Any, nonembedding: str | None, reading: ReadOptions) -> list[tuple[str, str, Points]]:
    """The conventions of N and C, each with the points under it; at least one."""
    if is_store(source):
        return [
            (n, c, load(source, options=replace(reading, flops=c, params=n))) for n in PARAM_COUNTS for c in FLOP_COUNTS
        ]
    total = load(source, options=replace(reading, flops=None, params="total"))
    if not all(np.isfinite(total[letter]).all() for letter in "NDC"):
        raise DataError(f"{total.source}: conventions are compared on N, D and C: name their columns with --columns")
    sizes = {"total": total}
    counts = {"as given": total.C, "6nd": 6 * total.N * total.D}
    columns = {**reading.columns, **({"N": nonembedding} if nonembedding else {})}
    try:
        nonembedding_points = load(source, options=replace(reading, flops=None, params="nonembedding", columns=columns))
    except DataError:
        if nonembedding:
            raise
        nonembedding_points = total  # the source has no column of N without embeddings
    if nonembedding_points.names != total.names:
        raise DataError(
            f"{total.source}: --where selects different rows for each count of N: use the name of a column instead of N"
        )
    if _differ(nonembedding_points.N, total.N):
        sizes["nonembedding"] = nonembedding_points
        counts["6nd-nonembedding"] = 6 * nonembedding_points.N * total.D
    if not _differ(total.C, counts["6nd"]):
        del counts["as given"]
    return [(n, c, replace(points, C=C)) for n, points in sizes.items() for c, C in counts.items()]


def _differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.any(np.abs(np.log(a / b)) > SAME_COUNT))


def _kaplan_exponent(points: Points, law: str, options: FitOptions) -> Exponent:
    try:
        result = fit(points, law, options)
    except FitError as error:
        return _missing(str(error))
    return Exponent(result.params["alpha"], result.intervals["alpha"], result.samples["alpha"])


def _fit_surface(points: Points, options: FitOptions) -> Fit | FitError:
    try:
        return fit(points, "chinchilla", options)
    except FitError as error:
        return error


def _missing(reason: str) -> Exponent:
    return Exponent(float("nan"), (float("nan"), float("nan")), np.zeros(0), reason)


def _approach_3(surface: Fit | FitError, s: float, ln_c0: float, level: float) -> Exponent:
    """Exponent a of approach 3 for C = c0·N^s·D."""
    if isinstance(surface, FitError):
        return _missing(str(surface))
    p = {name: np.concatenate([[value], surface.samples[name]]) for name, value in surface.params.items()}
    with np.errstate(all="ignore"):
        a, _, ln_g = chinchilla_optimum(p, np.exp(ln_c0), s)
    interval = intervals.percentile_interval(a[1:], level)
    return Exponent(float(a[0]), interval, a[1:], scale=float(ln_g[0] - a[0] * ln_c0))


def _approach_2(
    points: Points, base: Points, surface: Fit | FitError, options: FitOptions
) -> tuple[Exponent, tuple[str, ...]]:
    """Exponent a of approach 2, with the runs of each budget moved to one C."""
    aligned, notes = _align_budgets(points, base, surface)
    try:
        result = fit(aligned, "chinchilla-2", options)
    except FitError as error:
        return _missing(str(error)), notes
    warnings = tuple(line for line in result.verdict if line != "converged")
    scale = float(np.log(result.params["G_N"]))
    exponent = Exponent(result.params["a"], result.intervals["a"], result.samples["a"], scale=scale)
    return exponent, (*notes, *warnings)


def _align_budgets(points: Points, base: Points, surface: Fit | FitError) -> tuple[Points, tuple[str, ...]]:
    """Moves the runs of each budget so that their spread in C is as small as under the first convention.

    Runs planned at the same 6·N·D differ in C under another convention, most of all small models, which would tilt the
    parabolas. D is changed such that C agrees, and the loss by the change that the surface of approach 3 predicts.
    """
    ratio = points.C / base.C
    if np.ptp(np.log(ratio)) <= MAX_SPREAD:
        return points, ()
    keys, C = _budget_keys(base), points.C.copy()
    for key in np.unique(keys[np.isfinite(keys)]):
        runs = keys == key
        C[runs] = base.C[runs] * np.median(ratio[runs])
    if isinstance(surface, FitError):
        return points, (
            "runs of a budget differ in C and were not moved to one C, because approach 3 could not be fitted",
        )
    D = points.D * C / points.C
    shift = surface.predict(N=points.N, D=D) - surface.predict(N=points.N, D=points.D)
    note = (
        f"runs of a budget moved to one C by the surface of approach 3, which changed losses by up to "
        f"{np.abs(shift).max():.2g} {points.loss_unit}"
    )
    return replace(points, C=C, D=D, L=points.L + shift, budgets=keys), (note,)


def _budget_keys(points: Points) -> np.ndarray:
    """Budget of each run (n,), NaN if it has none."""
    keys = np.full(len(points), np.nan)
    for key, rows in group_by_budget(points):
        keys[rows] = key
    return keys


def _kaplan_route(alpha_C: Exponent, alpha_N: Exponent, level: float) -> Exponent:
    """Exponent a = alpha_C / alpha_N (Kaplan 2020, equation 1.7), with independent samples of both exponents."""
    if alpha_C.reason or alpha_N.reason:
        return _missing(alpha_C.reason or alpha_N.reason)
    samples = alpha_C.samples / np.roll(alpha_N.samples, 1)
    return Exponent(alpha_C.value / alpha_N.value, intervals.percentile_interval(samples, level), samples)


def explanations(conventions: list[Convention]) -> list[str]:
    """Returns sentences on the results and on why conventions disagree."""
    if len(conventions) == 1:
        return ["This source allows only one convention. To compare, name a column of C, or of N without embeddings."]
    lines = []
    for name, approach in (("a chinchilla", "approach 3"), ("a chinchilla-2", "approach 2")):
        values = {c.name: c.exponents[name].value for c in conventions if name in c.exponents}
        values = {convention: value for convention, value in values.items() if np.isfinite(value)}
        if len(values) > 1:
            low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            lines.append(
                f"By {approach}, the exponent of N*(C) of the same runs is between {values[low]:.3f} ({low}) and "
                f"{values[high]:.3f} ({high})."
            )
    lines.append(
        "s is the exponent of C/D in N over these runs. It differs from 1 if N and C do not count the same parameters, "
        "which matters most for small models. By approach 3, a = beta / (alpha + s beta)."
    )
    lines.append(
        "Kaplan 2020 (0.73) excluded embeddings from N and C, Hoffmann 2022 (0.50) counted all parameters. For small "
        "models the convention explains most of the difference (Pearce 2024); the FLOPs of the head, warm-up and "
        "tuning explain the rest (Porian 2024)."
    )
    return lines


def table_rows(conventions: list[Convention], columns: Collection[str] = tuple(COLUMN_TITLES)) -> list[tuple[str, ...]]:
    """Returns the titles and rows of a table: what N and C count, s, and the exponents with their intervals.

    Args:
        conventions: The conventions, one row each.
        columns: Names of the exponents to show.
    """
    names = [name for name in COLUMN_TITLES if name in columns and name in conventions[0].exponents]
    rows: list[tuple[str, ...]] = [("N counts", "C counts", "s", *(COLUMN_TITLES[name] for name in names))]
    for convention in conventions:
        exponents = [convention.exponents[name] for name in names]
        cells = [format.MISSING if e.reason else format.estimate(e.value, e.interval) for e in exponents]
        rows.append((convention.N, convention.C, f"{convention.s:.3f}", *cells))
    return rows
