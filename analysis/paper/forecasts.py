"""Sealed forecasts of a store in a paper: macros, a table and sentences on how they did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis import format
from analysis.figures.source import Source
from analysis.paper.macros import Macro, estimate_macros, macro_name
from analysis.report.html import Table
from analysis.studies.forecast.scores import OUTCOME_HEAD, Outcome, outcome_rows, score_seals, summarise
from analysis.studies.forecast.seals import read_seals

DATE = len("2026-01-31")  # characters of a time that are shown
COLUMNS = ("sealed", "C", "beyond", "forecast", "measured", "error", "inside", "CRPS", "PIT")  # that fit on a page


def read_outcomes(source: Source) -> list[Outcome]:
    """Returns the sealed forecasts of a store with their outcomes; none for a file.

    Raises:
        DataError: A seal was changed, removed or moved.
    """
    return [] if source.store is None else score_seals(source.store, read_seals(source.store))


def forecast_macros(outcomes: Sequence[Outcome]) -> list[Macro]:
    r"""Returns the macros of all forecasts, such as \ForecastsCoverage, and of each, such as \ForecastOneMeasured."""
    if not outcomes:
        return []
    summary = summarise(outcomes)
    macros = [
        Macro("ForecastsCount", str(summary["forecasts"]), "number of sealed forecasts"),
        Macro("ForecastsScored", str(summary["scored"]), "number of those whose run is done"),
    ]
    if summary["scored"]:
        macros.append(Macro("ForecastsInside", str(summary["inside"]), "number of losses inside their interval"))
        coverage = ("ForecastsCoverage", summary["coverage"], summary["coverage_interval"], "")
        macros += estimate_macros(*coverage, "share of losses inside their interval", format.percent)
        macros.append(Macro("ForecastsMeanCRPS", f"{summary['mean_crps']:.2g}", "mean CRPS"))
        error = format.percent(summary["mean_absolute_error"])
        macros.append(Macro("ForecastsMeanError", error, "mean distance of the loss from the median"))
    for outcome in outcomes:
        macros += _outcome_macros(outcome)
    return macros


def _outcome_macros(outcome: Outcome) -> list[Macro]:
    forecast, name = outcome.seal.forecast, macro_name("forecast", outcome.seal.index + 1)
    target, unit = forecast["target"], forecast["loss_unit"]
    meaning = f"forecast sealed {outcome.seal.time}"
    macros = [
        Macro(f"{name}N", format.count(target["N"]), f"{meaning}: parameters of the run"),
        Macro(f"{name}D", format.count(target["D"]), f"{meaning}: tokens of the run"),
        Macro(f"{name}C", format.flops(target["C"]), f"{meaning}: FLOPs of the run"),
        *estimate_macros(f"{name}Loss", forecast["loss"], forecast["interval"], unit, f"{meaning}: median of the loss"),
        Macro(f"{name}Level", f"{forecast['level']:.0%}", f"{meaning}: coverage of its interval"),
        Macro(f"{name}Hash", outcome.seal.hash, f"{meaning}: hash of the seal"),
    ]
    if "C" in forecast["reach"]:
        macros.append(Macro(f"{name}Reach", f"{forecast['reach']['C']:.3g}", "its FLOPs relative to the largest run"))
    if outcome.loss is None or outcome.error is None:
        return macros
    return [
        *macros,
        Macro(f"{name}Measured", f"{outcome.loss:.4f}", f"{meaning}: measured loss, in {unit}"),
        Macro(f"{name}Error", f"{np.expm1(outcome.error):+.2%}", "measured loss relative to the median"),
        Macro(f"{name}Inside", "yes" if outcome.inside else "no", "whether the loss is inside the interval"),
        Macro(f"{name}CRPS", f"{outcome.crps:.2g}", f"continuous ranked probability score, in {unit}"),
        Macro(f"{name}LogScore", f"{outcome.log_score:.3g}", "minus the logarithm of the density at the loss"),
        Macro(f"{name}PIT", f"{outcome.pit:.2f}", "probability that the forecast gave to smaller losses"),
    ]


def forecast_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Returns one row per sealed forecast; None if there are none."""
    if not outcomes:
        return None
    unit = format.short_loss_unit(outcomes[0].seal.forecast["loss_unit"])
    rows = [dict(zip(OUTCOME_HEAD, row, strict=True)) for row in outcome_rows(outcomes)]
    short = {"sealed": lambda text: text[:DATE], "forecast": lambda text: text.removesuffix(f" {unit}")}
    cells = [[short.get(name, str)(row[name]) for name in COLUMNS] for row in rows]
    head = [f"forecast ({unit})" if name == "forecast" else name for name in COLUMNS]
    return Table(head, "wwnwnnwnn", cells)


def forecast_sentences(outcomes: Sequence[Outcome]) -> list[str]:
    """Returns sentences on the forecasts that were sealed before their runs were trained, and on how they did."""
    if not outcomes:
        return []
    summary, last = summarise(outcomes), outcomes[-1].seal
    text = [
        f"{format.plural(summary['forecasts'], 'forecast')} of the loss of single runs, with intervals, were sealed "
        f"before these runs were trained; the hash of the last seal is {last.hash}."
    ]
    if not summary["scored"]:
        return [*text, "None of these runs is done."]
    coverage = format.estimate(summary["coverage"], summary["coverage_interval"], format.percent)
    error = format.percent(summary["mean_absolute_error"])
    return [
        *text,
        f"Of these runs {summary['scored']} are done. The share of losses inside their interval is {coverage}, and the "
        f"mean distance from the median is {error}.",
    ]
