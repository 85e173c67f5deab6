"""Result of a forecast: the distribution of the loss, its quantiles, and what it rests on; as numbers and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis import format
from analysis.data.points import Points
from analysis.format import json_ready
from analysis.studies.forecast.effects import Effect
from analysis.studies.forecast.predictive import Predictive
from analysis.studies.forecast.target import Target
from analysis.uncertainty.verdicts import CONVERGED
from scaling.store.origin.paths import public_path

MIN_SHOWN = 0.05  # weight of a law from which its warnings are shown
QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


@dataclass(frozen=True)
class LawForecast:
    """One law of the forecast.

    Attributes:
        law: Name of the law.
        weight: Weight in the mixture.
        loss: Predicted loss.
        rms_error: Root mean square of the log errors in the backtests; NaN without backtests.
        verdict: Verdict of its fit.
    """

    law: str
    weight: float
    loss: float
    rms_error: float
    verdict: tuple[str, ...]


@dataclass(frozen=True)
class Forecast:
    """Forecast of the loss of a new run.

    Attributes:
        target: The run.
        predictive: Distribution of its loss.
        level: Coverage of the interval.
        laws: The laws of the mixture.
        spread: Factor of the deviations of the laws' samples, from the backtests.
        backtests: Number of backtests.
        effects: Predictions under other choices.
        reach: Ratio of N, D and C to the largest of the points.
        points: The points.
        points_hash: SHA-256 of the points.
        main: The law with the largest weight, to which the effects are relative.
        failed: Reason for each law that could not be fitted.
    """

    target: Target
    predictive: Predictive
    level: float
    laws: tuple[LawForecast, ...]
    spread: float
    backtests: int
    effects: tuple[Effect, ...]
    reach: dict[str, float]
    points: Points
    points_hash: str
    main: str
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def quantiles(self) -> dict[str, float]:
        """Loss at each probability of QUANTILES."""
        losses = self.predictive.quantile(np.array(QUANTILES))
        return {f"{p:g}": float(loss) for p, loss in zip(QUANTILES, losses, strict=True)}

    @property
    def interval(self) -> tuple[float, float]:
        """Central interval of the loss of the new run."""
        return self.predictive.interval(self.level)

    def to_json(self) -> dict[str, Any]:
        """Returns the forecast in types of JSON, without the distribution itself."""
        data = {
            "target": self.target.to_json(),
            "loss": self.quantiles["0.5"],
            "interval": self.interval,
            "level": self.level,
            "loss_unit": self.points.loss_unit,
            "quantiles": self.quantiles,
            "laws": [vars(law) for law in self.laws],
            "failed": self.failed,
            "spread": self.spread,
            "backtests": self.backtests,
            "rests_on": {"law": self.main, "effects": [effect.to_json() for effect in self.effects]},
            "reach": self.reach,
            "points": {
                "source": public_path(self.points.source),
                "count": len(self.points),
                "sha256": self.points_hash,
            },
            "convention": self.points.convention,
            "notes": list(self.points.notes),
        }
        return dict(json_ready(data))


def describe(forecast: Forecast) -> str:
    """Returns the forecast as text: the run, the interval, the laws, and the effects."""
    target, unit = forecast.target, format.short_loss_unit(forecast.points.loss_unit)
    loss = format.estimate(forecast.quantiles["0.5"], forecast.interval)
    run = f", run {target.run_id[:16]}" if target.run_id else ""
    beyond = ", ".join(f"{letter} {ratio:.3g}" for letter, ratio in forecast.reach.items())
    lines = [
        f"new run{run}: N = {format.count(target.N)}, D = {format.count(target.D)}, C = {format.flops(target.C)} FLOPs",
        f"loss {loss} {unit} ({forecast.level:.0%} interval of a new run)",
        f"times the largest of the {len(forecast.points)} points: {beyond}",
        f"spread of the laws × {forecast.spread:.2f}, from {format.plural(forecast.backtests, 'backtest')}"
        if forecast.backtests
        else "no backtests: too few budgets; all laws have the same weight",
        "",
        format.aligned([("law", "weight", "loss", "error of backtests"), *map(_law_row, forecast.laws)]),
        *(f"{law}: not fitted: {reason}" for law, reason in forecast.failed.items()),
        "",
        f"the forecast of {forecast.main} under other choices:",
        format.aligned([("choice", "loss", "change"), *map(_effect_row, forecast.effects)]),
    ]
    warnings = [
        f"warning of {law.law}: {line}"
        for law in forecast.laws
        for line in law.verdict
        if line != CONVERGED and law.weight >= MIN_SHOWN
    ]
    return "\n".join([*lines, *warnings])


def _law_row(law: LawForecast) -> tuple[str, ...]:
    error = format.MISSING if np.isnan(law.rms_error) else f"{law.rms_error:.2%}"
    return law.law, f"{law.weight:.2f}", f"{law.loss:.4f}", error


def _effect_row(effect: Effect) -> tuple[str, ...]:
    kind = "" if effect.kind in ("budget", "convention") else f"{effect.kind}: "
    return f"{kind}{effect.name}", f"{effect.loss:.4f}", f"{np.expm1(effect.change):+.2%}"
