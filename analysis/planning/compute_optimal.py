"""What follows from a law of the loss: the optimum at a budget, with inference counted too, what it costs to be off
it, the cheapest budget for a loss, and what a run wasted. Each with an interval, and how far it extrapolates.

Key: N parameters, D training tokens, C training FLOPs (C = k·N·D), T FLOPs of training and inference together, L the
loss; K questions, one value of each estimate for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.fitting.result import Fit
from analysis.planning.surface import Array, Estimate, Surface, surface


@dataclass(frozen=True)
class Optimal:
    """Training that is optimal for each of K questions. L and exponent are None where there is no law of the loss.

    total: FLOPs of training and inference; C: of training. exponent: ∂ ln N*/∂ ln T there: a, where the law is a
    power law of compute. verdict: what to doubt, a tuple for each question.
    """

    total: Estimate
    C: Estimate
    N: Estimate
    D: Estimate
    L: Estimate | None
    tokens_per_parameter: Estimate
    exponent: Estimate
    verdict: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return self.N.rows.shape[1]

    def to_json(self) -> list[dict[str, Any]]:
        """One entry a question: values, intervals, verdict; plain numbers."""
        named = {"total": self.total, "C": self.C, "N": self.N, "D": self.D, "L": self.L}
        named |= {"tokens_per_parameter": self.tokens_per_parameter, "exponent": self.exponent}
        known = {name: one for name, one in named.items() if one is not None}
        return [one | {"verdict": list(said)} for one, said in zip(_entries(known), self.verdict, strict=True)]


def _entries(named: dict[str, Estimate]) -> list[dict[str, Any]]:
    """Values and intervals of each question."""
    return [
        {name: float(one.value[i]) for name, one in named.items()}
        | {"intervals": {name: one.interval(i) for name, one in named.items()}}
        for i in range(next(iter(named.values())).rows.shape[1])
    ]


def frontier(fit: Fit, C: Any, *, inference_tokens: float = 0.0, at: Mapping[str, float] | None = None) -> Optimal:
    """Optimal training at budgets C (K,): the least L under k·N·D = C (Hoffmann 2022, equation 4).

    With inference_tokens, C is all there is to spend: k·N·D + k/3·N·inference_tokens (6·N·D + 2·N·D_inf under
    C = 6·N·D; Sardana 2024, equation 2, asked the other way round: the least loss, not the least cost). Approaches
    1 and 2 give N* and D* alone. Raises FitError.
    """
    budgets = _positive("budget", C)
    _check_inference(inference_tokens)
    if fit.form is None and fit.optimum is not None and not inference_tokens:
        return _of_exponents(fit, budgets)
    on = surface(fit, at)
    rows = np.tile(budgets, (len(next(iter(on.params.values()))), 1))
    return _path(on, rows, inference_tokens, [()] * len(budgets))


def cheapest(
    fit: Fit, target_loss: Any, *, inference_tokens: float = 0.0, at: Mapping[str, float] | None = None
) -> Optimal:
    """The cheapest training that reaches each loss (K,), inference counted too.

    The least k·N·D + k/3·N·inference_tokens with L(N, D) = target (Sardana 2024, equation 2). Raises FitError (one
    line) where the law says that a target cannot be reached.
    """
    on, targets = surface(fit, at), _positive("target loss", target_loss)
    _check_inference(inference_tokens)
    rows = len(next(iter(on.params.values())))
    T = on.budget(np.tile(targets, (rows, 1)), inference_tokens)
    for target, value in zip(targets, T[0], strict=True):
        if np.isinf(value):
            raise FitError(f"target loss {target:g}: cannot be reached: {_floor(fit)}")
        if np.isnan(value):
            raise FitError(f"target loss {target:g}: so high that any training reaches it: give a lower one")
    open_ = np.isinf(T[1:]).mean(0)
    said = [(f"cannot be reached in {s:.1%} of the draws: the interval is open upwards",) if s else () for s in open_]
    return _path(on, T, inference_tokens, said)


def _floor(fit: Fit) -> str:
    if "E" not in fit.params:
        return f"{fit.law} stays above it at any compute"
    low, high = fit.intervals["E"]
    return f"the law goes no lower than E = {fit.params['E']:.4g} ({low:.4g} to {high:.4g})"


@dataclass(frozen=True)
class Off:
    """What a model `factor` times the optimal size costs (K,): more loss at the same compute, or more compute for the
    same loss, as a share of the optimum's (infinite where it never gets there)."""

    factor: float
    N: Estimate
    more_loss: Estimate
    more_compute: Estimate

    def to_json(self) -> list[dict[str, Any]]:
        """One entry a budget."""
        named = {"N": self.N, "more_loss": self.more_loss, "more_compute": self.more_compute}
        return [{"factor": self.factor} | one for one in _entries(named)]


def off_optimum(fit: Fit, C: Any, factors: Any, *, at: Mapping[str, float] | None = None) -> list[Off]:
    """The cost of training a model of factor·N*(C), at budgets C (K,).

    more_loss: L(r·N*, C/(k·r·N*)) − L*. more_compute: k·r·N*·D'/C − 1, with D' from L(r·N*, D') = L*(C).
    """
    on, level, budgets = surface(fit, at), fit.level, _positive("budget", C)
    N, _, L = on.best(budgets[None])
    out = []
    for r in _positive("factor", factors):
        less = L if r == 1 else on.loss(r * N, budgets / on.k / (r * N))
        D = budgets / on.k / N if r == 1 else on.tokens(r * N, L)
        more = on.k * r * N * D / budgets - 1
        out.append(Off(float(r), *(Estimate(rows, level) for rows in (r * N, less - L, more))))
    return out


@dataclass(frozen=True)
class Waste:
    """What runs of (N, D) wasted (K,): the share of their compute that the cheapest training of the same loss leaves
    over, the loss they gave away at their own compute, and the size they should have had."""

    share: Estimate
    more_loss: Estimate
    best_N: Estimate

    def to_json(self) -> list[dict[str, Any]]:
        """One entry a run."""
        return _entries({"share": self.share, "more_loss": self.more_loss, "best_N": self.best_N})


def waste(fit: Fit, N: Any, D: Any, *, at: Mapping[str, float] | None = None) -> Waste:
    """1 − C*(L(N, D)) / (k·N·D) and L(N, D) − L*(k·N·D), for runs of N parameters on D tokens (K,)."""
    on = surface(fit, at)
    N, D = np.broadcast_arrays(_positive("N", N), _positive("D", D))
    L, C = on.loss(N[None], D[None]), on.k * N * D
    best, _, least = on.best(C[None])
    rows = 1 - on.budget(L) / C, L - least, best
    return Waste(*(Estimate(one, fit.level) for one in rows))


def _path(on: Surface, T: Array, inference: float, said: Sequence[tuple[str, ...]]) -> Optimal:
    fit = on.fit
    with np.errstate(all="ignore"):
        N, D, L = on.best(np.where(np.isfinite(T), T, 1.0), inference)
        step = 1e-3  # nats of T
        more = on.best(np.where(np.isfinite(T), T, 1.0) * np.exp(step), inference)[0]
        exponent = np.log(more / N) / step
    lost = np.isinf(T)
    N, D = (np.where(lost, np.inf, x) for x in (N, D))
    ratio, exponent, L = (np.where(lost, np.nan, x) for x in (D / np.where(lost, 1.0, N), exponent, L))
    C = np.where(lost, np.inf, on.k * N * D) if inference else T
    L = np.where(np.isnan(N), np.nan, L)
    verdict = tuple(
        (*_unbounded(N[:, i], fit.level), *_beyond(fit, C[0, i], N[0, i], D[0, i]), *said[i]) for i in range(T.shape[1])
    )
    of = [Estimate(one, fit.level) for one in (T, C, N, D, L, ratio, exponent)]
    return Optimal(of[0], of[1], of[2], of[3], of[4], of[5], of[6], verdict)


def _of_exponents(fit: Fit, budgets: Array) -> Optimal:
    """Of approaches 1 and 2, which know N* and D* alone."""
    assert fit.optimum is not None
    path = {name: rows[:, None] for name, rows in fit.optimum.path.items()}
    with np.errstate(over="ignore"):
        N, D = (np.exp(path[f"ln_{x}"] + path[e] * np.log(budgets)) for x, e in (("n", "a"), ("d", "b")))
    C = np.tile(budgets, (len(N), 1))
    verdict = tuple(_beyond(fit, C[0, i], N[0, i], D[0, i]) for i in range(len(budgets)))
    exponent = np.tile(path["a"], (1, len(budgets)))
    of = [Estimate(one, fit.level) for one in (C, N, D, D / N, exponent)]
    return Optimal(of[0], of[0], of[1], of[2], None, of[3], of[4], verdict)


def _unbounded(N: Array, level: float) -> tuple[str, ...]:
    share = float(np.isnan(N[1:]).mean()) if len(N) > 1 else 0.0
    if np.isnan(N[0]):
        return ("no-optimum: the loss has no minimum in N at this compute, however far beyond the points",)
    return (f"no-optimum: {share:.0%} of the draws have no minimum in N",) if share > (1 - level) / 2 else ()


def _beyond(fit: Fit, C: float, N: float, D: float) -> tuple[str, ...]:
    """How many times the largest C, N and D of the points this is, where it is more."""
    points = fit.points
    with np.errstate(all="ignore"):
        times = {name: x / np.nanmax(points[name]) for name, x in (("C", C), ("N", N), ("D", D))}
    far = {name: x for name, x in times.items() if x > 1.001}
    if not far:
        return ()
    return ("extrapolates: " + ", ".join(f"{name} is {x:.3g} times" for name, x in far.items()) + " the largest",)


def _positive(what: str, values: Any) -> Array:
    found = np.atleast_1d(np.asarray(values, np.float64))
    if not (np.isfinite(found) & (found > 0)).all():
        raise FitError(f"{what} = {', '.join(f'{v:g}' for v in found)}: must be greater than 0")
    return found


def _check_inference(tokens: float) -> None:
    if not (np.isfinite(tokens) and tokens >= 0):
        raise FitError(f"inference tokens = {tokens:g}: must be 0 or more")
