"""Scores of sealed forecasts whose runs have been trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.data.record_cache import StoreSnapshot
from analysis.format import aligned, estimate, plural, short_loss_unit
from analysis.studies.forecast.seals import Seal
from scaling.store.record import Record
from scaling.store.score_intervals import wilson_interval

DONE = "done"
LEVEL = 0.95  # of the interval of the coverage
OUTCOME_HEAD = (
    "sealed", "run", "C", "beyond", "forecast", "measured", "error", "inside", "CRPS", "log score", "PIT"
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The run of a sealed forecast, and the scores of the forecast.

    Attributes:
        seal: The sealed forecast.
        status: Status of the run; None if it has no record.
        loss: Its measured loss; None until it is done. The other scores are None with it.
        error: ln(measured / median of the forecast).
        inside: Whether the loss is in the interval.
        crps: Continuous ranked probability score, in the unit of the loss.
        log_score: Minus the logarithm of the density.
        pit: Probability that the forecast gave to losses up to the measured one.
    """

    seal: Seal
    status: str | None
    loss: float | None = None
    error: float | None = None
    inside: bool | None = None
    crps: float | None = None
    log_score: float | None = None
    pit: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome in types of JSON."""
        forecast = self.seal.forecast
        entry: dict[str, Any] = {
            "run_id": self.seal.run_id,
            "time": self.seal.time,
            "hash": self.seal.hash,
            "commit": self.seal.commit,
        }
        entry |= {name: forecast["target"][name] for name in ("N", "D", "C")}
        entry |= {name: forecast[name] for name in ("loss", "interval", "level", "loss_unit", "reach")}
        scores: dict[str, Any] = {"measured": self.loss, "error": self.error, "inside": self.inside, "crps": self.crps}
        scores |= {"log_score": self.log_score, "pit": self.pit, "status": self.status}
        return entry | {name: value for name, value in scores.items() if value is not None}


def score_seals(store: StoreSnapshot, seals: Sequence[Seal]) -> list[Outcome]:
    """Returns the outcome of each sealed forecast.

    Args:
        store: The store of the runs.
        seals: Its sealed forecasts.
    """
    records = {record.run_id: record for record in store.records()}
    return [_outcome(seal, records.get(seal.run_id)) for seal in seals]


def _outcome(seal: Seal, record: Record | None) -> Outcome:
    if record is None or record.status != DONE or "loss" not in record.final:
        return Outcome(seal, None if record is None else record.status)
    loss, (low, high) = float(record.final["loss"]), seal.forecast["interval"]
    return Outcome(
        seal,
        record.status,
        loss=loss,
        error=float(np.log(loss / seal.forecast["loss"])),
        inside=bool(low <= loss <= high),
        crps=seal.predictive.crps(loss),
        log_score=seal.predictive.log_score(loss),
        pit=float(seal.predictive.cdf(loss)),
    )


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Returns the number of scored forecasts, their coverage with its interval, and their mean scores.

    Args:
        outcomes: Outcomes; those without a measured loss are counted only.
    """
    scored = [outcome for outcome in outcomes if outcome.loss is not None]
    summary: dict[str, Any] = {"forecasts": len(outcomes), "scored": len(scored)}
    if scored:
        inside = sum(bool(outcome.inside) for outcome in scored)
        summary |= {
            "inside": inside,
            "coverage": inside / len(scored),
            "coverage_interval": wilson_interval(inside, len(scored), LEVEL),
        }
        for name in ("crps", "log_score"):
            summary[f"mean_{name}"] = float(np.mean([getattr(outcome, name) for outcome in scored]))
        summary["mean_absolute_error"] = float(np.mean([abs(np.expm1(outcome.error or 0.0)) for outcome in scored]))
    return summary


def describe_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Returns the outcomes as a table, and a line on their coverage."""
    return "\n".join([aligned([OUTCOME_HEAD, *outcome_rows(outcomes)]), _summary_line(summarise(outcomes), outcomes)])


def outcome_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Returns the cells of each outcome under OUTCOME_HEAD."""
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        forecast = outcome.seal.forecast
        unit = short_loss_unit(forecast["loss_unit"])
        loss = f"{estimate(forecast['loss'], tuple(forecast['interval']))} {unit}"
        reach = f"{forecast['reach']['C']:.3g}×" if "C" in forecast["reach"] else "–"
        rows.append(
            (
                outcome.seal.time,
                outcome.seal.run_id[:16],
                f"{forecast['target']['C']:.3g}",
                reach,
                loss,
                *_scores(outcome),
            )
        )
    return rows


def _scores(outcome: Outcome) -> tuple[str, ...]:
    if outcome.loss is None or outcome.error is None:
        return (outcome.status or "not trained", *[""] * 5)
    numbers = (f"{outcome.crps:.2g}", f"{outcome.log_score:.3g}", f"{outcome.pit:.2f}")
    return (f"{outcome.loss:.4f}", f"{np.expm1(outcome.error):+.2%}", "yes" if outcome.inside else "no", *numbers)


def _summary_line(summary: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    if not summary["scored"]:
        return f"{plural(len(outcomes), 'forecast')}, none scored yet"
    low, high = summary["coverage_interval"]
    return (
        f"{plural(summary['scored'], 'forecast')} scored of {summary['forecasts']}: {summary['inside']} inside the "
        f"interval ({summary['coverage']:.0%}, 95% interval {low:.0%} to {high:.0%}), "
        f"mean CRPS {summary['mean_crps']:.2g}, mean error {summary['mean_absolute_error']:.2%}"
    )
