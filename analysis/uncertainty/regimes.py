"""A change of regime: a break along C in what a law leaves unexplained.

The residuals may step and bend at some value of C (or of the law's input, where it has no C). Which value is not known,
so the largest F over all of them is held against its own distribution under even noise on the same points (Andrews
1993), simulated: with few points the asymptotic values promise too much.

Key: P coordinates, n points, K places for a break, S simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.solver.minimise import minimise
from analysis.solver.problem import Problem

CHANCE = 0.01  # of a verdict about points that have no break
SIMULATIONS = 999
SHARE = 0.15  # of the points that must lie on either side (Andrews 1993)
LEAST = 4  # points on either side
PLACES = 40  # at most
SAMPLE = 1000  # points; more are thinned
CLIP = 2.5  # robust standard deviations at which a residual is cut off: an outlier is no regime
EXACT = 1e-9  # residuals below this share of the output's size are rounding


@dataclass(frozen=True)
class Break:
    """Where the residuals break (between two values of `letter`), the largest F and its chance, and each side's fit."""

    letter: str
    at: float
    F: float
    p: float
    below: dict[str, float] | None
    above: dict[str, float] | None

    @property
    def sentence(self) -> str:
        """For a verdict."""
        sides = [_side(side, word) for side, word in ((self.below, "below"), (self.above, "above")) if side]
        return f"regime-change: the residuals break at {self.letter} = {self.at:.3g} (p = {self.p:.2g}): " + (
            "; ".join(sides) or "too few points on either side to fit each"
        )


def _side(params: dict[str, float], word: str) -> str:
    return f"{', '.join(f'{name} {value:.3g}' for name, value in params.items())} {word} it"


def find(problem: Problem, u_P: np.ndarray, points: Points) -> Break | None:
    """The likeliest break, whatever its chance; None where there are too few points or values, or no noise."""
    letter, x = _axis(points, problem.law.inputs[0])
    kept = np.arange(len(x))
    if len(kept) > SAMPLE:
        kept = np.sort(np.random.default_rng(0).choice(len(x), SAMPLE, replace=False))
    x_n, root = np.log(x[kept]), np.sqrt(problem.weights)[kept]
    r, J = problem.residual(u_P[None])[0][kept] * root, (problem.jacobian(u_P[None])[0][:, kept] * root).T
    scale = 1.4826 * float(np.median(np.abs(r)))
    places = _places(x_n)
    free = len(r) - len(u_P) - 2
    if free < 3 or not len(places) or scale < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return None
    Q = np.linalg.qr(J)[0]
    bases = [Z for Z in (_break(x_n, cut, root, Q) for cut in places) if Z is not None]
    if not bases:
        return None
    Z = np.stack(bases)
    observed = _largest(np.clip(r, -CLIP * scale, CLIP * scale)[None], Q, Z, free)
    rng = np.random.default_rng(0)
    chance = _largest(np.clip(rng.standard_normal((SIMULATIONS, len(r))), -CLIP, CLIP), Q, Z, free)[0]
    F, which = float(observed[0][0]), int(observed[1][0])
    p = (1 + int(np.sum(chance >= F))) / (1 + SIMULATIONS)
    at = float(np.exp(places[which]))
    return Break(letter, at, F, p, *(_fitted(problem, u_P, side) for side in (x <= at, x > at)))


def verdict(problem: Problem, u_P: np.ndarray, points: Points) -> list[str]:
    """The sentence of a break that chance makes once in a hundred sweeps."""
    found = find(problem, u_P, points)
    return [found.sentence] if found is not None and found.p <= CHANCE else []


def _axis(points: Points, first: str) -> tuple[str, np.ndarray]:
    if np.isfinite(points.C).all():
        return "C", points.C
    x = points[first]
    return first, x - x.min() + 1.0 if x.min() <= 0 else x


def _places(x_n: np.ndarray) -> np.ndarray:
    """Cuts between neighbouring values with enough points on either side, in ln x."""
    values = np.unique(np.round(x_n, 9))
    least = max(LEAST, int(np.ceil(SHARE * len(x_n))))
    cuts = (values[1:] + values[:-1]) / 2
    below = np.searchsorted(np.sort(x_n), cuts)
    cuts = cuts[(below >= least) & (len(x_n) - below >= least)]
    return cuts if len(cuts) <= PLACES else cuts[np.linspace(0, len(cuts) - 1, PLACES).round().astype(int)]


def _break(x_n: np.ndarray, cut: float, root: np.ndarray, Q: np.ndarray) -> np.ndarray | None:
    """A step and a bend at the cut (n, 2), orthonormal, and to the law's own directions; None where it has them."""
    over = x_n > cut
    raw = np.stack([over, np.where(over, x_n - cut, 0.0)], -1) * root[:, None]
    raw = raw / np.linalg.norm(raw, axis=0)
    left = raw - Q @ (Q.T @ raw)
    u, s, _ = np.linalg.svd(left - Q @ (Q.T @ left), full_matrices=False)
    return u if s[-1] > 1e-6 else None


def _largest(r_Sn: np.ndarray, Q: np.ndarray, Z: np.ndarray, free: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest F of each row over the places (S,), and which."""
    r = r_Sn - (r_Sn @ Q) @ Q.T
    explained = np.stack([np.sum((r @ z) ** 2, -1) for z in Z], -1)
    left = np.sum(r**2, -1)[:, None] - explained
    F = (explained / 2) / np.maximum(left / free, 1e-300)
    return F.max(-1), F.argmax(-1)


def _fitted(problem: Problem, u_P: np.ndarray, side: np.ndarray) -> dict[str, float] | None:
    """What is not linear of the law on one side alone; None where it has too few points."""
    if side.sum() <= len(u_P):
        return None
    alone = problem.points(np.flatnonzero(side))
    found = alone.params(minimise(alone, alone.coordinates(problem.params(u_P[None])))[0])
    return {name: float(found[name][0]) for name in problem.law.nonlinear}
