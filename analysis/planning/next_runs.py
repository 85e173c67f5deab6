"""Which runs to add so that what a fitted law foretells gets most certain for the FLOPs
(analysis/planning/optimal_design.py).

Key: N parameters, D tokens, C FLOPs, L nats a token; S draws, P coordinates, K candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import laws
from analysis.errors import DataError, FitError
from analysis.fitting.result import Fit
from analysis.planning import optimal_design
from analysis.solver.objective import objective_of
from analysis.solver.problem import Problem

DRAWS = 48  # of the fit's bootstrap that the design is made for
STEP = 1.5  # between the sizes tried, where none are given
WIDER = 3.0  # tokens a parameter may go beyond those of the runs by this factor
WORTH = 0.05  # a doubling of the spending must narrow the interval by this share
TRIFLE = 0.005  # a run without which the interval is wider by less is left out
HALVINGS = 5  # of the budget, at which the expected interval is told
MOST = 20  # runs
WHAT = ("L", "N", "D")


@dataclass(frozen=True)
class Target:
    """What is to be foretold: L, N* or D* (`what`) of the optimum at C, or L at N and D."""

    C: float | None = None
    N: float | None = None
    D: float | None = None
    what: str = "L"

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if name in ("C", "N", "D") and value is not None}
        if set(given) not in ({"C"}, {"N", "D"}) or not all(0 < value < np.inf for value in given.values()):
            raise DataError(f"target {given or 'empty'}: must be C=1e24, or N=7e10,D=1.4e12")
        if self.what not in WHAT or (self.what != "L" and self.C is None):
            raise DataError(f"target of {self.what!r}: known are {', '.join(WHAT)}; at N and D only L")

    def __str__(self) -> str:
        if self.C is None:
            return f"L at N = {self.N:.4g}, D = {self.D:.4g}"
        return f"{self.what if self.what == 'L' else self.what + '*'} at C = {self.C:.4g}"

    def value(self, form: laws.Law, params: dict[str, np.ndarray], k: float) -> np.ndarray:
        """The quantity (S,) under parameters (S,)."""
        N, D = self.N, self.D
        if self.C is not None:
            if form.optimum is None:
                raise DataError("this law has no optimum at a C: give the target as N=..,D=..")
            a, _, ln_g = form.optimum(params, k)
            N = np.exp(ln_g + a * np.log(self.C / k))
            D = self.C / k / N
        out = {"N": N, "D": D}[self.what] if self.what != "L" else form.function(N, D, **params)
        return np.asarray(out, np.float64)


@dataclass(frozen=True)
class Advice:
    """What to run next.

    value, interval: of the target now. runs: {"N", "D", "C", "tokens_per_parameter", "ratio"} each, the most telling a
    FLOP first; ratio: width of the interval expected after it and those before it, to the width now. curve: (FLOPs,
    ratio) of the best designs for shares of the budget. why: one line.
    """

    target: Target
    value: float
    interval: tuple[float, float]
    level: float
    budget: float
    runs: tuple[dict[str, float], ...]
    curve: tuple[tuple[float, float], ...]
    why: str

    @property
    def ratio(self) -> float:
        return self.runs[-1]["ratio"] if self.runs else 1.0

    def expected(self, ratio: float | None = None) -> tuple[float, float]:
        """The interval after the runs, if the estimate stayed where it is: narrower by `ratio` in logarithms."""
        ratio = self.ratio if ratio is None else ratio
        low, high = (float(self.value * (x / self.value) ** ratio) for x in self.interval)
        return low, high

    def to_json(self) -> dict[str, Any]:
        target = {name: value for name, value in vars(self.target).items() if value is not None}
        return {
            "target": target,
            "value": self.value,
            "interval": self.interval,
            "level": self.level,
            "budget": self.budget,
            "flops": sum(run["C"] for run in self.runs),
            "expected": {"interval": self.expected(), "ratio": self.ratio},
            "runs": [{**run, "interval": self.expected(run["ratio"])} for run in self.runs],
            "curve": [{"flops": C, "ratio": r, "interval": self.expected(r)} for C, r in self.curve],
            "why": self.why,
        }


def advise(
    fit: Fit,
    target: Target,
    budget: float,
    *,
    largest: float | None = None,
    most: int = MOST,
    sizes: Sequence[float] | None = None,
    ratios: tuple[float, float] | None = None,
    worth: float = WORTH,
) -> Advice:
    """Runs that narrow the target's interval most for at most `budget` FLOPs, and the interval expected after them.

    largest: FLOPs of one run at most (the budget). most: runs. sizes: the parameters that models can have (any, STEP
    apart). ratios: tokens a parameter, from and to (those of the runs there are, WIDER to either side). No run has
    fewer N or D than the least there are. Spending is doubled as long as that narrows the interval by `worth`.
    Raises DataError for what cannot be asked, FitError where the fit cannot answer.
    """
    _check(fit, budget, most, worth, ratios)
    of = candidates(fit, target, min(largest or budget, budget), sizes, ratios)
    now = of.spread([])
    spends = budget * 0.5 ** np.arange(HALVINGS, -1, -1)
    designs = [optimal_design.choose(of, float(spend), most) for spend in spends]
    ratio = np.minimum.accumulate([np.exp(0.5 * (of.spread(one) - now)) for one in designs])
    at = _stop(np.concatenate([[1.0], ratio]), worth) - 1
    chosen = optimal_design.ordered(of, optimal_design.pruned(of, designs[at], TRIFLE)) if at >= 0 else []
    value, bounds = interval(fit, target)
    curve = tuple((float(of.C[one].sum()), float(r)) for one, r in zip(designs, ratio, strict=True))
    why = _why(at, len(spends), ratio, budget, worth)
    return Advice(target, value, bounds, fit.level, budget, _runs(of, chosen, now), curve, why)


def pick(
    fit: Fit,
    target: Target,
    budget: float,
    *,
    largest: float,
    most: int,
    ratios: tuple[float, float],
    pulls: tuple[float, ...] = optimal_design.PULLS,
) -> tuple[np.ndarray, np.ndarray, float]:
    """N and D of the best runs for a budget, the most telling a FLOP first; the ratio expected after them."""
    of = candidates(fit, target, min(largest, budget), None, ratios)
    chosen = optimal_design.choose(of, budget, most, pulls)
    return of.N[chosen], of.D[chosen], float(np.exp(0.5 * (of.spread(chosen) - of.spread([]))))


def candidates(
    fit: Fit,
    target: Target,
    largest: float,
    sizes: Sequence[float] | None = None,
    ratios: tuple[float, float] | None = None,
) -> optimal_design.Candidates:
    """What could be run, at DRAWS of the fit's draws. Raises DataError where nothing can."""
    points, k = fit.points, per_token(fit)
    N0, D0 = float(points.N.min()), float(points.D.min())
    if ratios is None:
        seen = points.D / points.N
        ratios = (float(seen.min()) / WIDER, float(seen.max()) * WIDER)
    biggest = np.sqrt(largest / (k * ratios[0]))  # of the fewest tokens a parameter
    tried = (
        np.asarray(sizes, float) if sizes is not None else N0 * STEP ** np.arange(np.log(biggest / N0) / np.log(STEP))
    )
    N, D = optimal_design.grid(tried, largest, k, (N0, D0), ratios)
    if not len(N):
        raise DataError(
            f"no run of at most {largest:.3g} FLOPs has {ratios[0]:.3g} to {ratios[1]:.3g} tokens a parameter and "
            f"N of {N0:.3g} or more, D of {D0:.3g} or more, as the runs there are: raise the budget or widen the ratio"
        )
    return _informed(fit, target, k, N, D)


def _informed(fit: Fit, target: Target, k: float, N: np.ndarray, D: np.ndarray) -> optimal_design.Candidates:
    """Gradients at the draws: of the runs there are, of the candidates, of the target."""
    points, n = fit.points, len(fit.points)
    problem = _problem(fit, np.append(points.N, N), np.append(points.D, D))
    form = problem.law
    u = problem.coordinates({name: fit.draws[name][:DRAWS] for name in form.parameters})
    with np.errstate(all="ignore"):
        J = problem.evaluate(u)[1]
        g = optimal_design.gradient(lambda at: np.log(target.value(form, problem.params(at), k)), u)
    sound = np.isfinite(J).all((1, 2)) & np.isfinite(g).all(1) & (np.abs(g).max(1) > 0)
    if sound.sum() < DRAWS / 4:
        raise FitError(f"{fit.law}: {sound.sum()} of {len(u)} draws foretell {target}: run more, and more apart, first")
    J, g = J[sound] * np.sqrt(_weights(fit, N)), g[sound]
    held = J[:, :, :n]
    size = np.where(np.isin(problem.names, form.linear), problem.typical(), 1.0)
    prior = np.diag((optimal_design.WEAK * _noise(fit) / size) ** 2)
    return optimal_design.Candidates(N, D, k * N * D, J[:, :, n:], held @ held.transpose(0, 2, 1) + prior, g)


def _problem(fit: Fit, N: np.ndarray, D: np.ndarray) -> Problem:
    assert fit.form is not None
    fixed = {name: to for name, to in fit.held.items() if not isinstance(to, str)}
    form = laws.given(fit.form, fixed, {name: to for name, to in fit.held.items() if isinstance(to, str)})
    objective = objective_of(fit.objective["name"])
    predicted = fit.predict(N=N, D=D, C=per_token(fit) * N * D, M=D / N)
    known = {"N": N, "D": D}
    return Problem(form, tuple(known[x] for x in form.inputs), objective.of(predicted), np.ones(len(N)), objective)


def _weights(fit: Fit, N: np.ndarray) -> np.ndarray:
    """Of the runs there are (mean 1), then of candidates: as noisy as runs of their size (n + K,)."""
    points = fit.points
    if points.weights is None:
        return np.ones(len(points) + len(N))
    weights = points.weights / points.weights.mean()
    order = np.argsort(points.N, kind="stable")
    like = np.interp(np.log(N), np.log(points.N[order]), np.log(weights[order]))
    return np.append(weights, np.exp(like))


def _noise(fit: Fit) -> float:
    """Standard deviation of a run's ln L about the law."""
    free = max(len(fit.points) - len(fit.params) + len(fit.held), 1)
    return max(float(np.sqrt(np.sum(fit.residuals() ** 2) / free)), 1e-6)


def per_token(fit: Fit) -> float:
    """C / (N·D): 6 where compute is counted so."""
    return float(np.median(fit.points.C / (fit.points.N * fit.points.D)))


def interval(fit: Fit, target: Target) -> tuple[float, tuple[float, float]]:
    """The target now: estimate, and interval of the draws."""
    from analysis.uncertainty import intervals

    assert fit.form is not None
    k = per_token(fit)
    with np.errstate(all="ignore"):
        drawn = target.value(fit.form, fit.draws, k)
    value = float(target.value(fit.form, {name: np.asarray(x) for name, x in fit.params.items()}, k))
    return value, intervals.interval(np.where(np.isfinite(drawn), drawn, np.nan), fit.level)


def _runs(of: optimal_design.Candidates, chosen: list[int], now: float) -> tuple[dict[str, float], ...]:
    out = []
    for count, at in enumerate(chosen, 1):
        N, D, C = (float(x[at]) for x in (of.N, of.D, of.C))
        ratio = float(np.exp(0.5 * (of.spread(chosen[:count]) - now)))
        out.append({"N": N, "D": D, "C": C, "tokens_per_parameter": D / N, "ratio": ratio})
    return tuple(out)


def _stop(ratio: np.ndarray, worth: float) -> int:
    """Index of the last doubling (or the first spending, 1) that narrows by `worth`; 0: not even the first."""
    narrows = np.flatnonzero(1 - ratio[1:] / ratio[:-1] >= worth) + 1
    return int(narrows[-1]) if len(narrows) else 0


def _why(at: int, levels: int, ratio: np.ndarray, budget: float, worth: float) -> str:
    if at < 0:
        return (
            f"nothing is worth adding: no doubling of the spending narrows the interval by {worth:.0%}; "
            f"all of {budget:.3g} FLOPs would narrow it by {1 - ratio[-1]:.1%}"
        )
    if at == levels - 1:
        return "all of the budget is worth spending: its second half still narrows the interval by " + (
            f"{1 - ratio[-1] / ratio[-2]:.1%}"
        )
    spent = budget * 0.5 ** (levels - 1 - at)
    return (
        f"{spent:.3g} FLOPs are enough: no further doubling narrows the interval by {worth:.0%}, and all of "
        f"{budget:.3g} would make it {1 - ratio[-1] / ratio[at]:.1%} narrower still"
    )


def _check(fit: Fit, budget: float, most: int, worth: float, ratios: tuple[float, float] | None) -> None:
    if fit.form is None or not set(fit.form.inputs) <= {"N", "D"} or fit.form.output != "L":
        raise DataError(f"law {fit.law}: next takes a law of the loss in N and D, such as chinchilla or kaplan-nd")
    if ratios is not None and not 0 < ratios[0] < ratios[1]:
        raise DataError(f"ratio {ratios[0]:g}:{ratios[1]:g}: must go from a number above 0 to a larger one")
    for name, value, ok, allowed in (
        ("budget", budget, 0 < budget < np.inf, "a number of FLOPs above 0"),
        ("runs", most, most >= 1, "1 or more"),
        ("worth", worth, 0 <= worth < 1, "0 or more, and less than 1"),
    ):
        if not ok:
            raise DataError(f"{name} {value:g}: must be {allowed}")
