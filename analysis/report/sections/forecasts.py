"""The section on sealed forecasts: the score of each, their figure, and how many losses lie in the intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis import format
from analysis.errors import DataError
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.report.html import Table
from analysis.report.pictures import Picture, select
from analysis.studies.forecast.scores import LEVEL, Outcome, score_seals, summarise
from analysis.studies.forecast.seals import read_seals

TITLES = {"forecasts": "Forecasts and measured losses"}
HEAD = ("sealed", "run", "C (FLOPs)", "beyond", "forecast", "measured", "error", "inside", "CRPS", "PIT")
EXPLANATION = (
    "Each forecast was sealed before its run was trained. Beyond is C relative to the largest fitted run. The "
    "continuous ranked probability score (CRPS) is in the unit of the loss, smaller is better. PIT is the probability "
    "that the forecast gave to losses up to the measured one: for calibrated forecasts it is uniform between 0 and 1."
)
NOT_TRAINED = "not trained"


@dataclass(frozen=True)
class Forecasts:
    """The section on sealed forecasts.

    Attributes:
        error: Reason that the seals cannot be read, else "". With an error the other fields are empty.
        explanation: Meaning of the scores.
        table: Scores of each forecast; None with an error.
        coverage: How many measured losses lie in the intervals.
        pictures: Figures of the section.
    """

    error: str = ""
    explanation: str = EXPLANATION
    table: Table | None = None
    coverage: str = ""
    pictures: Sequence[Picture] = ()


def sealed_outcomes(source: Source) -> list[Outcome]:
    """Returns the sealed forecasts of a store with their outcomes; none for a file.

    Raises:
        DataError: A seal was changed, removed or moved.
    """
    if source.store is None:
        return []
    if "forecasts" not in source.results:  # where the figure finds them
        source.results["forecasts"] = score_seals(source.store, read_seals(source.store))
    outcomes: list[Outcome] = source.results["forecasts"]
    return outcomes


def figure_titles(source: Source) -> dict[str, str]:
    """Returns the titles of the figures of the section by name; none if there are no intact seals."""
    try:
        return TITLES if sealed_outcomes(source) else {}
    except DataError:
        return {}


def describe_forecasts(source: Source, pictures: Sequence[Picture]) -> Forecasts | None:
    """Returns the section on sealed forecasts; None if the source has none.

    Args:
        source: Source of the report.
        pictures: All pictures of the report.
    """
    try:
        outcomes = sealed_outcomes(source)
    except DataError as error:
        return Forecasts(error=sentences.sentence(str(error)))
    if not outcomes:
        return None
    rows = [_cells(outcome) for outcome in outcomes]
    return Forecasts(
        table=Table(HEAD, "wcnnnnntnn", rows), coverage=_coverage(outcomes), pictures=select(pictures, TITLES)
    )


def _cells(outcome: Outcome) -> tuple[str, ...]:
    forecast = outcome.seal.forecast
    reach = f"{forecast['reach']['C']:.3g}×" if "C" in forecast["reach"] else format.MISSING
    entry = (
        outcome.seal.time.partition("T")[0],
        outcome.seal.run_id[: sentences.SHORT_ID],
        format.flops(forecast["target"]["C"]),
        reach,
        format.estimate(forecast["loss"], tuple(forecast["interval"])),
    )
    if outcome.loss is None or outcome.error is None:
        return (*entry, outcome.status or NOT_TRAINED, *[format.MISSING] * 4)
    inside = "yes" if outcome.inside else "no"
    error = f"{np.expm1(outcome.error):+.2%}"
    return (*entry, f"{outcome.loss:.4f}", error, inside, f"{outcome.crps:.2g}", f"{outcome.pit:.2f}")


def _coverage(outcomes: Sequence[Outcome]) -> str:
    summary = summarise(outcomes)
    if not summary["scored"]:
        return f"{format.plural(len(outcomes), 'forecast')}, none scored yet."
    low, high = summary["coverage_interval"]
    return (
        f"Inside the interval: {summary['inside']} of {format.plural(summary['scored'], 'scored forecast')}, "
        f"{summary['coverage']:.0%} ({LEVEL:.0%} interval {low:.0%} to {high:.0%}). Mean CRPS "
        f"{summary['mean_crps']:.2g}, mean absolute error {summary['mean_absolute_error']:.2%}."
    )
