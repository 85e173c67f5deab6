"""The section on compute-optimal training by Hoffmann's three approaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis import format
from analysis.errors import FitError
from analysis.figures.source import Source
from analysis.fitting.hoffmann.isoflop import Parabola
from analysis.fitting.result import Fit
from analysis.format import MISSING, short_loss_unit
from analysis.report import sentences
from analysis.report.findings import Findings
from analysis.report.html import Table
from analysis.uncertainty.verdicts import has_warnings

PREFERENCE = ("chinchilla", "chinchilla-2", "chinchilla-1")  # order of preference for the optimum of the summary


@dataclass(frozen=True)
class OptimumSection:
    """Compute-optimal training.

    Attributes:
        exponents: Exponents a and b by approach.
        predictions: Optima beyond the largest budget; None if no approach has an optimum.
        agreement: Comparison of the approaches; "" for fewer than two optima.
        budgets: Minimum of each budget in approach 2; None if approach 2 could not be fitted.
    """

    exponents: Table
    predictions: Table | None
    agreement: str
    budgets: Table | None


def describe_optimum(findings: Findings) -> OptimumSection:
    """Returns the section on compute-optimal training."""
    fits = {name: fit for name, fit in findings.approaches.items() if fit.optimum is not None}
    rows = [_exponents(name, fits.get(name), findings.failures.get(name, "")) for name in sentences.LONG_NAMES]
    return OptimumSection(
        exponents=Table(("approach", "a", "b", "fit"), "twwt", rows),
        predictions=_predictions(fits),
        agreement=sentences.agreement(fits),
        budgets=_budgets(findings.source),
    )


def preferred_optimum(findings: Findings) -> Fit | None:
    """Returns the fit whose optimum the summary states; None if no approach has an optimum."""
    fits = (findings.fits[name] for name in PREFERENCE if name in findings.fits)
    return next((fit for fit in fits if fit.optimum is not None), None)


def predicted_optima(fit: Fit) -> list[tuple[float, dict[str, Any]]]:
    """Returns pairs of a multiple of the largest budget and the optimum there, as in `fit --json`."""
    return list(zip(fit.budget_multiples, fit.to_json()["optimum"]["at"], strict=True))


def _exponents(name: str, fit: Fit | None, failure: str) -> tuple[str, ...]:
    label = sentences.LONG_NAMES[name]
    if fit is None or fit.optimum is None:
        return label, "no fit", "no fit", failure
    optimum = fit.optimum
    a, b = (format.estimate(v, optimum.intervals[k]) for k, v in (("a", optimum.a), ("b", optimum.b)))
    return label, a, b, "with warnings" if has_warnings(fit.verdict) else "converged"


def _predictions(fits: dict[str, Fit]) -> Table | None:
    """Optima in order of budget, then of approach."""
    if not fits:
        return None
    rows = [
        (times, (_budget_label(times, optimum), sentences.NAMES[name].removeprefix("Approach "), *_cells(optimum)))
        for name, fit in fits.items()
        for times, optimum in predicted_optima(fit)
    ]
    rows.sort(key=lambda row: row[0])
    first = next(iter(fits.values()))
    level, unit = first.level, short_loss_unit(first.points.loss_unit)
    head = ("compute", "approach", "N* (parameters)", "D* (tokens)", "tokens/parameter", f"loss ({unit})")
    caption = f"At 10× and 100× the largest budget, with {level:.0%} intervals."
    return Table(head, "wtwwnw", [cells for _, cells in rows], caption)


def _budget_label(times: float, optimum: dict[str, Any]) -> str:
    return f"{times:g}×: {format.flops(optimum['C'])} FLOPs"


def _cells(optimum: dict[str, Any]) -> tuple[str, ...]:
    intervals = optimum["intervals"]
    known_loss = optimum.get("L") is not None and "L" in intervals
    N, D = (format.estimate(optimum[letter], intervals[letter], format.count) for letter in "ND")
    loss = format.estimate(optimum["L"], intervals["L"]) if known_loss else MISSING
    return N, D, f"{optimum['D'] / optimum['N']:.3g}", loss


def _budgets(source: Source) -> Table | None:
    """Minimum of each budget in approach 2."""
    try:
        parabolas = source.isoflop().budgets
    except FitError:
        return None
    head = (
        "budget (FLOPs)",
        "runs",
        "N* (parameters)",
        f"loss at N* ({short_loss_unit(source.points.loss_unit)})",
        "minimum",
    )
    return Table(head, "wnwnt", [_budget(parabola) for parabola in parabolas], "Minima of approach 2 by budget.")


def _budget(parabola: Parabola) -> tuple[str, ...]:
    position = (
        "none: concave" if parabola.concave else "between the runs" if parabola.inside else "outside the runs: left out"
    )
    N, loss = "none", "none"
    if parabola.N_opt is not None and parabola.L_opt is not None and parabola.inside:
        N, loss = format.estimate(parabola.N_opt, parabola.interval, format.count), f"{parabola.L_opt:.4f}"
    return format.flops(parabola.budget), str(parabola.count), N, loss, position
