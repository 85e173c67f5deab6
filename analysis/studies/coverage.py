"""Sweeps of a law that is known, fitted as any other: bias, spread and how often the intervals hold the truth.

Key: N parameters, D tokens, C FLOPs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.result import Fit

DESIGNS = ("isoflop", "grid")
BUDGETS = 4  # of an isoFLOP design
WIDE = 1.1  # nats of N to either side of the optimum of each budget
FARTHER = (10.0, 100.0)  # times the largest compute, or input, where predictions are held against the truth
HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}  # Hoffmann 2022, equation 10
COMPUTE = (6e18, 3e21)  # FLOPs: the least and largest budget (Hoffmann 2022, figure 3)
SPAN = (1e6, 1e9)  # of an input, where nothing else is said


@dataclass(frozen=True)
class Row:
    """One quantity over all sweeps. width: mean of the intervals; within: two standard errors of the coverage."""

    name: str
    true: float
    mean: float
    spread: float
    width: float
    coverage: float
    within: float

    @property
    def bias(self) -> float:
        return self.mean - self.true


@dataclass(frozen=True)
class Study:
    """What `study` found. verdicts: share of the sweeps whose verdict has each code; failed: sweeps with no fit."""

    law: str
    level: float
    sweeps: int
    rows: tuple[Row, ...]
    verdicts: dict[str, float]
    failed: int
    told: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        rows = [{**vars(row), "bias": row.bias} for row in self.rows]
        return {**vars(self), "rows": rows}


def sweep(
    law: str,
    truth: Mapping[str, float],
    design: str,
    runs: int,
    over: Mapping[str, tuple[float, float]] | None = None,
) -> Points:
    """Runs of the law without noise.

    isoflop: BUDGETS budgets over C, sizes WIDE to either side of the optimum of each. grid: every combination of as
    many values of each input, evenly in its logarithm. Raises FitError where the law does not go with the design.
    """
    form, over = _form(law), dict(over or {})
    if design == "isoflop":
        if form.optimum is None or form.inputs != ("N", "D"):
            raise FitError(f"design isoflop: {law} has no optimum in N and D: take grid")
        C = np.repeat(np.geomspace(*over.get("C", COMPUTE), BUDGETS), runs // BUDGETS)
        a, _, ln_g = form.optimum(dict(truth), 6.0)
        steps = np.tile(np.exp(np.linspace(-WIDE, WIDE, runs // BUDGETS)), BUDGETS)
        N = np.exp(ln_g) * (C / 6) ** a * steps
        inputs, budgets = {"N": N, "D": C / 6 / N}, C
    else:
        each = max(2, round(runs ** (1 / len(form.inputs))))
        axes = [np.geomspace(*over.get(letter, SPAN), each) for letter in form.inputs]
        flat = [x.ravel() for x in np.meshgrid(*axes, indexing="ij")]
        inputs, budgets = dict(zip(form.inputs, flat, strict=True)), None
    output = np.asarray(form.function(*inputs.values(), **truth), np.float64)
    return _points(form, inputs, output, budgets)


def _form(law: str) -> laws.Law:
    """The law that losses are made by: Chinchilla's for the approaches."""
    return laws.LAWS["chinchilla"] if law in laws.APPROACHES else laws.find(law)


def _points(form: laws.Law, inputs: dict[str, np.ndarray], output: np.ndarray, budgets: np.ndarray | None) -> Points:
    nothing = np.full(len(output), np.nan)
    have = {**inputs, form.output: output}
    if "N" in have and "D" in have and "C" not in have:
        have["C"] = 6 * have["N"] * have["D"]
    N, D, C, L = (have.pop(letter, nothing) for letter in "NDCL")
    names = [f"run {i}" for i in range(len(output))]
    return Points(N, D, C, L, names, budgets=budgets, source="simulated", more=have)


def study(
    law: str = "chinchilla",
    *,
    truth: Mapping[str, float] | None = None,
    design: str = "isoflop",
    runs: int = 20,
    noise: float = 0.003,
    bend: float = 0.0,
    sweeps: int = 300,
    over: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
    level: float = 0.95,
    said: Callable[[int], None] | None = None,
    **choices: Any,
) -> Study:
    """`sweeps` sweeps with normal noise, relative to the output, each fitted with `choices` (fitting.fit).

    truth: the law's parameters; Hoffmann's for Chinchilla's form. bend: added to the exponent of the output along C (or
    the first input) above its middle: a change of regime. said: called with the number of sweeps done. Raises FitError.
    """
    form = _form(law)
    if design not in DESIGNS:
        raise FitError(f"design {design!r}: known are {', '.join(DESIGNS)}")
    if truth is None and form is not laws.LAWS["chinchilla"]:
        raise FitError(f"{law}: say its parameters, {', '.join(form.parameters)}")
    true = dict(truth or HOFFMANN)
    if set(true) != set(form.parameters):
        raise FitError(f"truth has {', '.join(true)}: {law} has {', '.join(form.parameters)}")
    clean = sweep(law, true, design, runs, over)
    bent = _bent(clean, form, bend)
    expected = _truth(clean, form, true, law)
    rng, seen, verdicts, failed = np.random.default_rng(seed), [], Counter[str](), 0
    for done in range(sweeps):
        made = _noisy(bent, form, noise, rng)
        try:
            found = fit(made, law, seed=done, level=level, extrapolate=FARTHER, **choices)
        except FitError:
            failed += 1
        else:
            seen.append(_told(found, clean, form))
            verdicts.update({one.partition(":")[0] for one in found.verdict})
        if said is not None:
            said(done + 1)
    if not seen:
        raise FitError(f"{law}: none of {sweeps} simulated sweeps could be fitted")
    rows = tuple(_row(name, value, [one[name] for one in seen]) for name, value in expected.items())
    told = {"truth": true, "design": design, "runs": len(clean), "noise": noise, "bend": bend, **choices}
    return Study(law, level, sweeps, rows, {k: n / len(seen) for k, n in verdicts.items()}, failed, told)


def _noisy(points: Points, form: laws.Law, noise: float, rng: np.random.Generator) -> Points:
    return _with(points, form, points[form.output] * np.exp(noise * rng.standard_normal(len(points))))


def _bent(points: Points, form: laws.Law, bend: float) -> Points:
    """The output times (x / middle)^bend above the middle of x."""
    x = points.C if np.isfinite(points.C).all() else points[form.inputs[0]]
    middle = np.exp(np.log(x).mean())
    return _with(points, form, points[form.output] * np.maximum(x / middle, 1.0) ** bend)


def _with(points: Points, form: laws.Law, output: np.ndarray) -> Points:
    have = {letter: points[letter] for letter in form.inputs}
    return _points(form, have, output, points.budgets)


def _truth(points: Points, form: laws.Law, true: dict[str, float], law: str) -> dict[str, float]:
    """What is asked of each fit, at its true value."""
    out = {} if law in laws.APPROACHES else {name: true[name] for name in form.parameters}
    if form.optimum is not None and np.isfinite(points.C).all():
        a, _, ln_g = form.optimum(dict(true), 6.0)
        out["a"] = float(a)
        for times in FARTHER:
            C = times * float(points.C.max()) / 6
            N = float(np.exp(ln_g) * C**a)
            out[f"N* at {times:g}x"] = N
            if law not in laws.APPROACHES:
                out[f"L* at {times:g}x"] = float(form.function(N, C / N, **true))
        return out
    for times in FARTHER:
        out[f"{form.output} at {times:g}x"] = float(form.function(*_far(points, form, times).values(), **true))
    return out


def _far(points: Points, form: laws.Law, times: float) -> dict[str, float]:
    return {letter: times * float(points[letter].max()) for letter in form.inputs}


def _told(found: Fit, points: Points, form: laws.Law) -> dict[str, tuple[float, float, float]]:
    """Estimate, low and high of each quantity."""
    out = {name: (value, *found.intervals[name]) for name, value in found.params.items()}
    if found.optimum is not None:
        out["a"] = (found.optimum.a, *found.optimum.intervals["a"])
        for times in FARTHER:
            at = found.optimum.at(times * found.optimum.largest)
            for letter in [k for k in "NL" if k in at]:
                known = found.profiles.get(f"{letter} at {times:g}x")
                interval = known.interval if known is not None else at["intervals"][letter]
                out[f"{letter}* at {times:g}x"] = (at[letter], *interval)
        return out
    for times in FARTHER:
        at = found.at(**_far(points, form, times))
        out[f"{form.output} at {times:g}x"] = (at["value"], *at["interval"])
    return out


def _row(name: str, true: float, seen: list[tuple[float, float, float]]) -> Row:
    value, low, high = np.array(seen).T
    share = float(np.mean((low <= true) & (true <= high)))
    within = 2 * float(np.sqrt(max(share * (1 - share), 1 / len(seen)) / len(seen)))
    spread = float(value.std(ddof=1)) if len(seen) > 1 else float("nan")
    return Row(name, true, float(value.mean()), spread, float(np.mean(high - low)), share, within)
