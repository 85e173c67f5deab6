"""Laws of loss curves under learning-rate schedules: fitted to a few curves, they predict curves of other schedules.

A row is one measurement: step, learning rate, and curve. The rows of a curve define its schedule, or a separate table
does (`Schedules`). The rate is linear between rows, except that a single change between two constant parts is a jump at
its row. Before the first row, the rate rises linearly from 0 at step 0.

Key: n rows, m pairs of a row and an earlier change of the rate, S sets of parameters; S1 sum of rates up to a step.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from analysis.laws.curve.schedule_terms import (
    Schedules,
    ScheduleTerms,
    annealing_area,
    loss_reduction,
    schedule_terms,
)
from analysis.laws.law import Array, Law, Published

MAX_STARTS = 12  # number of starts that are kept, those with the smallest residuals
START_ALPHAS = (0.2, 0.5, 1.0)


def multi_power(
    step: Array,
    lr: Array,
    curve: Array,
    *,
    L0: Array,
    A: Array,
    alpha: Array,
    B: Array,
    C: Array,
    beta: Array,
    gamma: Array,
) -> Array:
    """L0 + A·S1^−α + B·Σ_k (η_k − η_{k−1})·(1 − (1 + C·η_k^−γ·Σ_{k..t} η)^−β) (Luo 2025, equations 1 to 3).

    Args:
        step: Step of each row (n,).
        lr: Learning rate η at each row (n,).
        curve: Number of the curve of each row (n,).
        L0: Irreducible loss in nats per token.
        A: Factor of the sum of rates.
        alpha: Exponent of the sum of rates.
        B: Factor of the reduction by changes of the rate.
        C: Speed of the reduction.
        beta: Exponent of the reduction.
        gamma: Exponent of the rate in the reduction.
    """
    terms = schedule_terms(step, lr, curve)
    return _multi_power(terms, L0=L0, A=A, alpha=alpha, B=B, C=C, beta=beta, gamma=gamma)


def _multi_power(
    terms: ScheduleTerms, *, L0: Array, A: Array, alpha: Array, B: Array, C: Array, beta: Array, gamma: Array
) -> Array:
    loss = L0 + A * terms.S1**-alpha
    return loss + B * loss_reduction(terms, C, beta, gamma) if np.any(B) else loss


def tissue(step: Array, lr: Array, curve: Array, *, L0: Array, A: Array, alpha: Array, C: Array, lam: Array) -> Array:
    """L0 + A·S1^−α − C·S2, S2 the annealing area with momentum λ (Tissue 2024, equation 1).

    Args:
        step: Step of each row (n,).
        lr: Learning rate at each row (n,).
        curve: Number of the curve of each row (n,).
        L0: Irreducible loss in nats per token.
        A: Factor of the sum of rates.
        alpha: Exponent of the sum of rates.
        C: Factor of the annealing area.
        lam: Momentum per step.
    """
    return _tissue(schedule_terms(step, lr, curve), L0=L0, A=A, alpha=alpha, C=C, lam=lam)


def _tissue(terms: ScheduleTerms, *, L0: Array, A: Array, alpha: Array, C: Array, lam: Array) -> Array:
    loss = L0 + A * terms.S1**-alpha
    return loss - C * annealing_area(terms, lam) if np.any(C) else loss


def _best_columns(terms: ScheduleTerms, y: np.ndarray, columns_Kn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The MAX_STARTS pairs of α and a last column whose linear fit of y has the smallest residuals."""
    scored = []
    for alpha, k in itertools.product(START_ALPHAS, range(len(columns_Kn))):
        X = np.stack([np.ones(len(y)), terms.S1**-alpha, columns_Kn[k]], -1)
        X = X / np.maximum(np.abs(X).max(0), 1e-300)
        solution = np.linalg.lstsq(X, y, rcond=None)[0]
        scored.append((float(np.sum((X @ solution - y) ** 2)), alpha, k))
    best = sorted(scored)[:MAX_STARTS]
    return np.array([alpha for _, alpha, _ in best]), np.array([k for *_, k in best], int)


def _multi_power_starts(
    inputs: tuple[np.ndarray, ...], y: np.ndarray, schedules: Schedules | None = None
) -> dict[str, np.ndarray]:
    """Starting values of `multi_power`: C for immediate changes up to changes over the whole curve."""
    terms = schedule_terms(inputs[0], inputs[1], inputs[2], schedules)
    speed, beta, gamma = np.array(
        list(itertools.product((1.0, 10.0, 100.0, 1000.0), (0.3, 0.6, 1.0), (0.3, 0.6, 1.0)))
    ).T
    C = speed * inputs[1].max() ** gamma / terms.S1.max()
    alpha, rows = _best_columns(terms, y, loss_reduction(terms, C, beta, gamma))
    return {"alpha": alpha, "C": C[rows], "beta": beta[rows], "gamma": gamma[rows]}


def _tissue_starts(
    inputs: tuple[np.ndarray, ...], y: np.ndarray, schedules: Schedules | None = None
) -> dict[str, np.ndarray]:
    """Starting values of `tissue`: 1/(1 − λ) from 10 steps to the length of the curves."""
    terms = schedule_terms(inputs[0], inputs[1], inputs[2], schedules)
    lam = 1 - 1 / np.geomspace(10, max(float(inputs[0].max()), 100.0), 8)
    alpha, rows = _best_columns(terms, y, annealing_area(terms, lam))
    return {"alpha": alpha, "lam": lam[rows]}


def with_schedules(law: Law, schedules: Schedules) -> Law:
    """Returns a law of loss curves that knows the whole schedules of some curves.

    Args:
        law: MULTI_POWER or TISSUE.
        schedules: The schedules by number of the curve.

    Raises:
        ValueError: The law is not a law of schedules.
    """
    if law.function not in FORMS:
        raise ValueError("a table of schedules applies only to laws of learning-rate schedules: multi-power, tissue")
    form, starts = FORMS[law.function]

    def function(step: Array, lr: Array, curve: Array, **params: Array) -> Array:
        return form(schedule_terms(step, lr, curve, schedules), **params)

    function.__signature__ = inspect.signature(law.function)  # type: ignore[attr-defined]
    function.__doc__ = law.function.__doc__
    return replace(law, function=function, starts_from_data=partial(starts, schedules=schedules))


FORMS: dict[Callable[..., Array], tuple[Callable[..., Array], Callable[..., dict[str, np.ndarray]]]] = {
    multi_power: (_multi_power, _multi_power_starts),
    tissue: (_tissue, _tissue_starts),
}
COLUMNS = {
    "step": "step steps iteration",
    "lr": "lr learning_rate rate",
    "curve": "curve run_id run schedule",
}
UNITS = {"step": "steps", "lr": "rate per step", "L": "nats per token", "L0": "nats per token"}
ALPHA = (1e-2, 5.0)  # bounds of alpha

MULTI_POWER = Law(
    multi_power,
    "Luo 2025, multi-power law",
    {},
    ("L0", "A", "B"),
    {"alpha": ALPHA, "C": (1e-9, 1e9), "beta": (1e-2, 10.0), "gamma": (1e-3, 5.0)},
    constants=("L0",),
    units=UNITS,
    columns=COLUMNS,
    signed=("lr",),
    labels=("curve",),
    starts_from_data=_multi_power_starts,
    latex=(
        r"L(t) = L_0 + \frac{A}{S_1(t)^\alpha} + B \sum_{k=1}^{t} (\eta_k - \eta_{k-1}) \left(1 - \left(1 + "
        r"C \eta_k^{-\gamma} S_k(t)\right)^{-\beta}\right)",
        r"S_k(t) = \sum_{\tau=k}^{t} \eta_\tau",
    ),
    published=(
        Published(
            "Luo 2025, 25M parameters",
            {
                "L0": 3.04045406,
                "A": 0.52468604,
                "alpha": 0.50786857,
                "B": 363.78751622,
                "C": 2.06560812,
                "beta": 0.58279013,
                "gamma": 0.64142257,
            },
        ),
    ),
)
TISSUE = Law(
    tissue,
    "Tissue 2024, equation 1",
    {},
    ("L0", "A", "C"),
    {"alpha": ALPHA, "lam": (0.5, 1 - 1e-7)},
    constants=("L0",),
    units={**UNITS, "lam": "momentum per step"},
    columns=COLUMNS,
    signed=("lr",),
    labels=("curve",),
    starts_from_data=_tissue_starts,
    latex=(
        r"L(t) = L_0 + \frac{A}{S_1(t)^\alpha} - C S_2(t)",
        r"S_1(t) = \sum_{\tau=1}^{t} \eta_\tau",
        r"S_2(t) = \sum_{k=1}^{t} (\eta_{k-1} - \eta_k) \sum_{\tau=k}^{t} \lambda^{\tau - k}",
    ),
    published=(Published("Tissue 2024", {"lam": 0.999}),),
)
