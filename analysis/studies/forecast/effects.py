"""What a forecast rests on: how choices that could have been made otherwise change it.

Each effect is a change of the prediction of the law with the largest weight, relative to its own prediction.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.runs import DEFAULT_FLOPS, FLOP_COUNTS, PARAM_COUNTS
from analysis.data.sources.readers import is_store
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws.law import Law
from analysis.studies.forecast.target import Target, run_target

KINDS = {
    "irreducible loss": "the irreducible loss fixed at an end of its interval",
    "budget": "the runs of one budget left out",
    "convention": "another counting convention of N and C",
    "law": "another law",
}
IRREDUCIBLE = "E"  # parameter with the loss of infinite N and D
MIN_BOOTSTRAP = 100  # samples of refits whose uncertainty is not used

Loss = tuple[str, str, float]  # kind, name, predicted loss


@dataclass(frozen=True)
class Effect:
    """The prediction under another choice.

    Attributes:
        kind: What was changed, a key of KINDS.
        name: The choice.
        loss: Predicted loss.
        change: ln of the loss over that of the forecast's main law.
    """

    kind: str
    name: str
    loss: float
    change: float

    def to_json(self) -> dict[str, Any]:
        """Returns the fields in types of JSON."""
        return dict(vars(self))


def effects(
    source: Any, main: Fit, others: Sequence[Fit], target: Target, options: FitOptions, reading: ReadOptions
) -> list[Effect]:
    """Computes all effects that the source allows.

    Args:
        source: The source of the points.
        main: Fit of the law with the largest weight.
        others: Fits of the other laws.
        target: The run to forecast.
        options: Options of the fits.
        reading: Options of reading the source.
    """
    plain = predict(main, target)
    quick = replace(options, checks=False, bootstrap=MIN_BOOTSTRAP)
    losses = [
        *_irreducible(main, target, quick),
        *_left_out(main, target),
        *_conventions(source, main, target, quick, reading),
        *(("law", other.law, predict(other, target)) for other in others),
    ]
    return [Effect(kind, name, loss, float(np.log(loss / plain))) for kind, name, loss in losses if np.isfinite(loss)]


def predict(result: Fit, target: Target) -> float:
    """Returns the loss that a fit predicts for the target."""
    return float(result.predict(**_inputs(result.form, target)))


def _inputs(form: Law | None, target: Target) -> dict[str, float]:
    assert form is not None
    return {letter: target.inputs[letter] for letter in form.inputs}


def _irreducible(main: Fit, target: Target, options: FitOptions) -> list[Loss]:
    if IRREDUCIBLE not in main.params or IRREDUCIBLE in main.constraints:
        return []
    losses = []
    for value in main.intervals[IRREDUCIBLE]:
        try:
            refit = fit(main.points, main.law, replace(options, fix={**options.fix, IRREDUCIBLE: value}))
        except (FitError, DataError):
            continue
        losses.append(("irreducible loss", f"{IRREDUCIBLE} = {value:.4g}", predict(refit, target)))
    return losses


def _left_out(main: Fit, target: Target) -> list[Loss]:
    assert main.form is not None
    with np.errstate(all="ignore"):
        return [
            (
                "budget",
                f"without {r.omitted}",
                float(main.form.function(*_inputs(main.form, target).values(), **r.params)),
            )
            for r in main.refits
        ]


def _conventions(source: Any, main: Fit, target: Target, options: FitOptions, reading: ReadOptions) -> list[Loss]:
    """Predictions under each other convention; only for a store and a run with a config, whose counts are known."""
    if not is_store(source) or target.config is None:
        return []
    assert main.form is not None
    counts_compute = "C" in main.form.inputs
    counted = (reading.flops or DEFAULT_FLOPS, reading.params)
    losses = []
    for params, flops in itertools.product(PARAM_COUNTS, FLOP_COUNTS if counts_compute else counted[:1]):
        if (flops, params) == counted:
            continue
        try:
            points = load(source, main.form, replace(reading, flops=flops, params=params))
            refit = fit(points, main.law, options)
        except (FitError, DataError):
            continue
        name = f"N {params}, C {flops}" if counts_compute else f"N {params}"
        losses.append(("convention", name, predict(refit, run_target(target.config, flops, params))))
    return losses
