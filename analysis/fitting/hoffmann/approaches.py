"""Fits Hoffmann's approaches 1 and 2: the exponents of N*(C) and D*(C), without a law of the loss.

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.hoffmann import isoflop, parabola_bias
from analysis.fitting.hoffmann.budget_curves import CHANCE
from analysis.fitting.hoffmann.envelope import fit_envelope, loss_envelope
from analysis.fitting.hoffmann.hull import fit_hull
from analysis.fitting.optimum import Optimum
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit, interval_method
from analysis.uncertainty.accounting import check_budget_spread, check_compute, check_repetition
from analysis.uncertainty.effects import check_frontier
from analysis.uncertainty.intervals import corrected_interval
from analysis.uncertainty.verdicts import CONVERGED, verdict, warning

CURVES = {
    "parabola": "parabolas by least squares",
    "akima": "Akima curves; the value is of parabolas",
    "chinchilla": "Chinchilla's curve at each budget by least squares",
}


def fit_approach(points: Points, name: str, options: FitOptions = FitOptions()) -> Fit:
    """Fits approach 1 or 2: N* = G_N·C^a and D* = G_D·C^b, with parameters a, b, G_N and G_D.

    Args:
        points: Runs with N and C; approach 1 uses their learning curves if available.
        name: "chinchilla-1" or "chinchilla-2".
        options: Bootstrap, intervals, and the settings of approach 2 (`weighting`, `minimum`).

    Raises:
        FitError: There are too few budgets or sizes, or no budget has a minimum inside of its sizes.
    """
    if name == "chinchilla-2":
        return _approach_2(points, options)
    if options.frontier == "hull":
        params, value, note, warnings = fit_hull(points, options.bootstrap, options.seed)
        warnings += _check_exponent(params["a"], options.level)
        objective = {"name": "least squares of ln N on ln C of the convex hull", "value": value}
        return _fit(points, name, params, objective, warnings, (note,), options)
    envelope = loss_envelope(points)
    params, value = fit_envelope(envelope, options.bootstrap, options.seed)
    warnings = [*check_frontier(points, "C"), *envelope.warnings, *_check_exponent(params["a"], options.level)]
    objective = {"name": "least squares of ln N on ln C", "value": value}
    return _fit(points, name, params, objective, warnings, (envelope.note,), options)


def _approach_2(points: Points, options: FitOptions) -> Fit:
    """Approach 2, with its estimated bias."""
    result = isoflop.fit_isoflop(points, options)
    if result.params is None:
        raise FitError(f"chinchilla-2: {'; '.join(result.verdict)}")
    warnings = [line for line in result.verdict if line != CONVERGED]
    warnings += [*check_budget_spread(points), *_check_exponent(result.params["a"], options.level)]
    notes = result.notes
    largest = float(points.C.max())
    if result.minimum != "akima" and result.curves is not None and result.curves.lack_of_fit <= CHANCE:
        sentence = (
            "the losses of the budgets deviate from smooth curves by more than their noise, so that the minima depend "
            "on the curve: the intervals include the distance to the minima of Akima curves (--minimum akima)"
        )
        warnings.append(warning("lack-of-fit", sentence))
    bias = parabola_bias.estimate_bias(result, largest, options.budget_multiples)
    if bias is not None:
        warnings += parabola_bias.check_bias(bias, result.params, largest)
        notes = (*notes, bias.note)
    objective = {"name": CURVES[result.minimum], "value": result.value}
    return _fit(points, "chinchilla-2", result.params, objective, warnings, notes, options)


def _check_exponent(a: np.ndarray, level: float) -> list[str]:
    """Warns if the interval of a includes N* or D* decreasing with compute; a: estimate and samples (1 + B,)."""
    low, high = corrected_interval(a, level)
    if not (low <= 0 or high >= 1):
        return []
    sentence = f"the interval of a, {low:.3g} to {high:.3g}, does not determine that N* and D* both grow with compute"
    return [warning("unidentifiable", sentence)]


def _fit(
    points: Points,
    name: str,
    params: dict[str, np.ndarray],
    objective: dict[str, Any],
    warnings: list[str],
    notes: tuple[str, ...],
    options: FitOptions,
) -> Fit:
    """The fit with estimates and samples of `params`, each (1 + B,)."""
    with np.errstate(divide="ignore"):
        path = {"ln_n": np.log(params["G_N"]), "a": params["a"], "ln_d": np.log(params["G_D"]), "b": params["b"]}
    schemes = {"chinchilla-2": "residuals", "chinchilla-1": "runs" if options.frontier == "hull" else "parametric"}
    return Fit(
        law=name,
        points=points,
        params={parameter: float(values[0]) for parameter, values in params.items()},
        intervals={parameter: corrected_interval(values, options.level) for parameter, values in params.items()},
        level=options.level,
        objective=objective,
        starts={"tried": 0, "agreed": 0},
        verdict=verdict([*warnings, *check_repetition(points, None), *check_compute(points, None)]),
        samples={parameter: values[1:] for parameter, values in params.items()},
        optimum=Optimum(
            path,
            options.level,
            float(points.C.max()),
            extrapolation_ratio=options.extrapolation_ratio,
            method=interval_method(schemes[name]),
        ),
        resampling=schemes[name],
        notes=notes,
        budget_multiples=options.budget_multiples,
        extrapolation_ratio=options.extrapolation_ratio,
    )
