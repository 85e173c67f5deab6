"""Which points a law is fitted to, and whether they can tell it; what cannot be fitted is refused by name.

Key: N parameters, D tokens, C FLOPs, L nats a token; P coordinates.
"""

from __future__ import annotations

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.solver.problem import Problem


def chosen(points: Points, form: laws.Law, law: str) -> tuple[Points, tuple[str, ...]]:
    """Points that a law is fitted to: the frontier where it speaks of the best run for its one input."""
    missing = [x for x in (*form.inputs, form.output) if not np.isfinite(points[x]).all()]
    if missing:
        raise FitError(f"{law} needs {', '.join(missing)}, which {points.source} does not have")
    if not form.frontier or not _others_vary(points, form.inputs[0]):
        return points, ()
    kept = frontier(points[form.inputs[0]], points.L)
    if len(kept) == len(points):
        return points, ()
    note = f"{law} is fitted to {len(kept)} of {len(points)} runs: those that no run with less {form.inputs[0]} beats"
    return points.where(kept), (note,)


def _others_vary(points: Points, letter: str) -> bool:
    """Whether another input varies too: if not, every run is on the curve that the law describes."""
    others = [getattr(points, other) for other in "ND" if other != letter]
    return any(np.isfinite(x).all() and x.max() > 1.1 * x.min() for x in others)


def frontier(x: np.ndarray, L: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """Indices of the runs that no run with less x beats, one for each x (equal within `tolerance`), x rising."""
    order = np.lexsort((L, x))
    kept: list[int] = []
    for at in order:
        if kept and x[at] <= x[kept[-1]] * (1 + tolerance):
            if L[at] < L[kept[-1]]:
                kept[-1] = int(at)
        elif not kept or L[at] < L[kept[-1]]:
            kept.append(int(at))
    return np.array(kept)


def enough(points: Points, form: laws.Law, law: str, notes: tuple[str, ...], held: bool = False) -> None:
    """FitError where the points are too few, or do not vary in what the law takes.

    held: some parameters are not fitted.
    """
    n, p = len(points), len(form.parameters)
    if n <= p and notes:
        raise FitError(f"{notes[0]}: too few for {p} parameters: the loss hardly falls with {form.inputs[0]}")
    if n <= p:
        raise FitError(
            f"{law} has {p} parameters and there are {n} points: it takes at least {p + 1} to say how sure it is"
        )
    for letter in form.inputs:
        x = points[letter]
        # What is held may be all that speaks of an input: then it need not vary.
        if np.ptp(x) < 0.05 * np.abs(x).max() and not held:
            raise FitError(f"{law}: all points have the same {letter} (within 5%): nothing can be said about it")
        if form.frontier and np.polyfit(np.log(x), points.L, 1)[0] >= 0:
            raise FitError(f"{law}: the loss does not fall with {letter} in these points")
    if form.optimum is not None and np.isfinite(points.C).all() and points.C.max() < 1.3 * points.C.min():
        raise FitError(f"{law}: all points lie at one budget (C within 30%): run more budgets to see how loss scales")


def falls(problem: Problem, u_P: np.ndarray, law: str) -> None:
    """FitError where the term of an input has vanished: then the loss does not fall with it."""
    r = problem.residual(u_P[None])[0]
    noise = np.median(np.abs(r))
    # A law of one term has one relative share everywhere, however steeply it falls: what varies is the share in nats.
    share = 1 / problem.objective.steepness(problem.model(u_P[None])[0])
    share = share / share.mean()
    J = problem.jacobian(u_P[None])[0] * share
    for name, (letter, _) in problem.law.powers.items():
        at = problem.names.index(name)
        part = u_P[at] * J[at]  # of the loss
        if np.ptp(part) <= 0.1 * noise + 1e-12:
            raise FitError(f"{law}: the loss does not fall with {letter} in these points (the best {name} is 0)")
    for letter in problem.law.falls:
        if _drop(problem, u_P, letter) <= 0.1 * noise + 1e-12:
            raise FitError(f"{law}: the {_output(problem.law)} does not fall with {letter} in these points")


def _drop(problem: Problem, u_P: np.ndarray, letter: str) -> float:
    """How far the output falls, on the objective's scale, from the least of an input to its most, others halfway."""
    law = problem.law
    ends = [
        np.array([x.min(), x.max()]) if name == letter else np.full(2, np.median(x))
        for name, x in zip(law.inputs, problem.inputs, strict=True)
    ]
    params = {name: value[:, None] for name, value in problem.params(u_P[None]).items()}
    most, least = problem.objective.of(np.asarray(law.function(*ends, **params))[0])
    return float(most - least)


def _output(law: laws.Law) -> str:
    return "loss" if law.output == "L" else law.output
