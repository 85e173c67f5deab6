"""Kaplan's and Chinchilla's exponents from the same runs, counted in each way that the source allows.

How N*(C) grows depends on what N and C count. Kaplan (2020) left embeddings out of both and found N* ∝ C^0.73; Hoffmann
(2022) counted all and found C^0.50. At small scale, where embeddings are most of a model, the count alone makes most
of that difference (Pearce 2024; Porian 2024, who adds warm-up and tuning).

Key: N parameters, D tokens, C FLOPs, L nats a token; s: C/D grows as N^s among the runs (1 where C = 6·N·D).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis import format
from analysis.data.load import load
from analysis.data.points import Points, group
from analysis.data.runs import FLOPS, PARAMS
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.result import Fit
from analysis.uncertainty import intervals

LAWS = ("chinchilla-2", "chinchilla")
KAPLAN = {"alpha_N": "kaplan-n", "alpha_D": "kaplan-d", "alpha_C": "kaplan-c"}
EVEN = 0.02  # relative spread of one count over another from which on runs of a budget are brought to one C
SAME = 0.01  # relative difference below which two counts are one

Interval = tuple[float, float]


@dataclass(frozen=True)
class Exponent:
    """A value with its interval; NaN, and why, where there is none. draws: (B,). scale: ln of N* at 1 FLOP."""

    value: float
    interval: Interval
    draws: np.ndarray
    why: str = ""
    scale: float = float("nan")


@dataclass(frozen=True)
class Counting:
    """The runs counted one way. exponents: a by approach ("a chinchilla-2"), by Kaplan's route ("a kaplan"), and
    Kaplan's alpha_N, alpha_D and alpha_C."""

    N: str
    C: str
    points: Points
    s: float
    exponents: dict[str, Exponent]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"N {self.N}, C {self.C}"

    def to_json(self) -> dict[str, Any]:
        return {
            "N": self.N,
            "C": self.C,
            "s": self.s,
            "exponents": {
                name: {"value": e.value, "interval": e.interval} | ({"why": e.why} if e.why else {})
                for name, e in self.exponents.items()
            },
            "notes": list(self.notes),
        }


def conventions(
    source: Any,
    laws: tuple[str, ...] = LAWS,
    *,
    columns: Mapping[str, str] | None = None,
    nonembedding: str | None = None,
    where: str | None = None,
    units: Mapping[str, str] | None = None,
    drop_bad: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    **fitting: Any,
) -> list[Counting]:
    """Every counting that a store or file allows, each with its exponents.

    nonembedding: a file's column of N without embeddings, where its name is none of the common ones. fitting: more
    options of `fit`, for approach 3. Raises DataError, and FitError where no counting gives an exponent.
    """
    unknown = [law for law in laws if law not in LAWS]
    if unknown:
        raise DataError(f"law {', '.join(unknown)}: countings are compared by {', '.join(LAWS)}")
    reading = {"columns": columns, "where": where, "units": units, "drop_bad": drop_bad}
    options = {"bootstrap": bootstrap, "seed": seed, "level": level}
    base: Points | None = None
    found: list[Counting] = []
    known: dict[
        tuple[str, str | None], Exponent
    ] = {}  # alpha_N depends on what N counts, alpha_C on C, alpha_D on none
    surfaces: dict[str, Fit | FitError] = {}  # of N and D alone
    for n, c, points in _countings(source, nonembedding, reading):
        base = base or points
        for name, law in KAPLAN.items():
            if (name, {"N": n, "C": c}.get(name[-1])) not in known:
                known[name, {"N": n, "C": c}.get(name[-1])] = _kaplan(points, law, options)
        if n not in surfaces:
            surfaces[n] = _surface(points, {**options, **fitting})
        kaplan = {name: known[name, {"N": n, "C": c}.get(name[-1])] for name in KAPLAN}
        found.append(_exponents(n, c, points, base, laws, kaplan, surfaces[n], options))
    reasons = [e.why for one in found for e in one.exponents.values()]
    if all(reasons):
        raise FitError(reasons[0])
    return found


def _countings(source: Any, nonembedding: str | None, reading: dict[str, Any]) -> list[tuple[str, str, Points]]:
    """What N and C count, and the points counted so."""
    if isinstance(source, str | Path) and Path(source).is_dir():
        return [(n, c, load(source, flops=c, params=n, **reading)) for n in PARAMS for c in FLOPS]
    total = load(source, **reading)
    if not all(np.isfinite(total[letter]).all() for letter in "NDC"):
        raise DataError(f"{total.source}: countings are compared on N, D and C: say which columns they are")
    sizes = {"total": total}
    counts = {"as given": total.C, "6nd": 6 * total.N * total.D}
    columns = {**(reading["columns"] or {}), **({"N": nonembedding} if nonembedding else {})}
    less = load(source, params="nonembedding", **{**reading, "columns": columns})
    if less.names != total.names:
        raise DataError(f"{total.source}: where keeps other rows under another count of N: name its column instead")
    if not any(note.startswith("N computed") for note in less.notes) and _differ(less.N, total.N):
        sizes["nonembedding"] = less
        counts["6nd-nonembedding"] = 6 * less.N * total.D
    if not _differ(total.C, counts["6nd"]):
        del counts["as given"]
    return [(n, c, replace(points, C=C)) for n, points in sizes.items() for c, C in counts.items()]


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.any(np.abs(np.log(one / other)) > SAME))


def _keys(points: Points) -> np.ndarray:
    """The budget of each run: planned, or as the first counting groups them."""
    keys = np.full(len(points), np.nan)
    for key, at in group(points):
        keys[at] = key
    return keys


def _kaplan(points: Points, law: str, options: dict[str, Any]) -> Exponent:
    try:
        found = fit(points, law, **options)
    except FitError as error:
        return _none(str(error))
    return Exponent(found.params["alpha"], found.intervals["alpha"], found.draws["alpha"])


def _surface(points: Points, options: dict[str, Any]) -> Fit | FitError:
    try:
        return fit(points, "chinchilla", **options)
    except FitError as error:
        return error


def _none(why: str) -> Exponent:
    return Exponent(float("nan"), (float("nan"), float("nan")), np.zeros(0), why)


def _exponents(
    n: str,
    c: str,
    points: Points,
    base: Points,
    laws: tuple[str, ...],
    kaplan: dict[str, Exponent],
    surface: Fit | FitError,
    options: dict[str, Any],
) -> Counting:
    s, ln_c0 = np.polyfit(np.log(points.N), np.log(points.C / points.D), 1)
    found: dict[str, Exponent] = {}
    notes: tuple[str, ...] = ()
    if "chinchilla-2" in laws:
        found["a chinchilla-2"], notes = _parabolas(points, base, surface, options)
    if "chinchilla" in laws:
        found["a chinchilla"] = _counted(surface, float(s), float(ln_c0), options["level"])
    found["a kaplan"] = _ratio(kaplan["alpha_C"], kaplan["alpha_N"], options["level"])
    return Counting(n, c, points, float(s), {**found, **kaplan}, notes)


def _counted(surface: Fit | FitError, s: float, ln_c0: float, level: float) -> Exponent:
    """Approach 3 where C = c0·N^s·D: the least E + A/N^α + B/D^β lies at N* ∝ C^a with a = β / (α + s·β).

    Of α·A·N^−α = s·β·B·D^−β (Hoffmann 2022, equation 4, is s = 1).
    """
    if isinstance(surface, FitError):
        return _none(str(surface))
    p = {name: np.concatenate([[value], surface.draws[name]]) for name, value in surface.params.items()}
    with np.errstate(all="ignore"):
        a = p["beta"] / (p["alpha"] + s * p["beta"])
        ln_g = np.log(p["alpha"] * p["A"] / (s * p["beta"] * p["B"])) / (p["alpha"] + s * p["beta"])
    return Exponent(float(a[0]), intervals.interval(a[1:], level), a[1:], scale=float(ln_g[0] - a[0] * ln_c0))


def _parabolas(
    points: Points, base: Points, surface: Fit | FitError, options: dict[str, Any]
) -> tuple[Exponent, tuple[str, ...]]:
    """Approach 2, its budgets brought to one C each."""
    even, notes = _even(points, base, surface)
    try:
        found = fit(even, "chinchilla-2", **options)
    except FitError as error:
        return _none(str(error)), notes
    said = tuple(one for one in found.verdict if one != "converged")
    scale = float(np.log(found.params["G_N"]))
    return Exponent(found.params["a"], found.intervals["a"], found.draws["a"], scale=scale), (*notes, *said)


def _even(points: Points, base: Points, surface: Fit | FitError) -> tuple[Points, tuple[str, ...]]:
    """Runs of a budget as far apart in C as the first counting has them, and no further.

    Runs planned at one 6·N·D differ in C under another count, most between small and large models: parabolas through
    them as they are would lean. So D is changed to what brings C there, and the loss as approach 3's surface has it.
    """
    ratio = points.C / base.C
    if np.ptp(np.log(ratio)) <= EVEN:
        return points, ()
    keys, C = _keys(base), points.C.copy()
    for key in np.unique(keys[np.isfinite(keys)]):
        at = keys == key
        C[at] = base.C[at] * np.median(ratio[at])
    if isinstance(surface, FitError):
        return points, ("runs of a budget differ in C, and no surface could be fitted to bring them to one",)
    D = points.D * C / points.C
    shift = surface.predict(N=points.N, D=D) - surface.predict(N=points.N, D=points.D)
    note = f"runs of a budget brought to one C by approach 3's surface, losses by up to {np.abs(shift).max():.2g} nats"
    return replace(points, C=C, D=D, L=points.L + shift, budgets=keys), (note,)


def _ratio(over: Exponent, under: Exponent, level: float) -> Exponent:
    """alpha_C / alpha_N: Kaplan's own route to N* ∝ C^a (2020, equation 1.7); the draws of the two taken apart."""
    if over.why or under.why:
        return _none(over.why or under.why)
    draws = over.draws / np.roll(under.draws, 1)
    return Exponent(over.value / under.value, intervals.interval(draws, level), draws)


def explained(found: list[Counting]) -> list[str]:
    """What the table says, and why countings disagree; a sentence each."""
    if len(found) == 1:
        return ["This source allows one counting: give columns of C, or of N without embeddings, to compare."]
    said = []
    for name, what in (("a chinchilla", "approach 3"), ("a chinchilla-2", "approach 2")):
        known = {one.name: one.exponents[name].value for one in found if name in one.exponents}
        known = {k: v for k, v in known.items() if np.isfinite(v)}
        if len(known) > 1:
            low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            said.append(
                f"By {what} the same runs have N* grow as C^{known[low]:.3f} ({low}) to C^{known[high]:.3f} ({high})."
            )
    said.append(
        "s says how C/D grows with N among these runs: where a count leaves something out that small models have most "
        "of, s is above or below 1, and by approach 3 a = beta / (alpha + s beta)."
    )
    said.append(
        "Kaplan 2020 (0.73) left embeddings out of N and C, Hoffmann 2022 (0.50) counted all; with small models most "
        "of the difference is the count (Pearce 2024), the rest the head's FLOPs, warm-up and tuning (Porian 2024)."
    )
    return said


HEADS = {
    "a chinchilla-2": "a, approach 2",
    "a chinchilla": "a, approach 3",
    "a kaplan": "alpha_C/alpha_N",
    "alpha_N": "alpha_N",
    "alpha_C": "alpha_C",
    "alpha_D": "alpha_D",
}


def rows(found: list[Counting], of: Collection[str] = tuple(HEADS)) -> list[tuple[str, ...]]:
    """The table: what N and C count, s, and the exponents with their intervals."""
    names = [name for name in HEADS if name in of and name in found[0].exponents]
    out: list[tuple[str, ...]] = [("N counts", "C counts", "s", *(HEADS[name] for name in names))]
    for one in found:
        known = [one.exponents[name] for name in names]
        cells = [format.MISSING if e.why else format.estimate(e.value, e.interval) for e in known]
        out.append((one.N, one.C, f"{one.s:.3f}", *cells))
    return out
