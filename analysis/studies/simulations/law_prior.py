"""Sweeps of laws that are drawn from a prior: exponents, irreducible loss, noise and design differ in each.

Coverage on one law says nothing of others. Here each sweep has a law of its own, of the form of Chinchilla, a design of
its own, and noise of one kind with a scale of its own.

Key: N parameters, D tokens, C FLOPs, L loss; n runs, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.laws.loss.chinchilla import chinchilla
from analysis.studies.simulations.coverage import FLOPS_PER_TOKEN

MULTIPLES = (10.0, 30.0, 100.0)  # budgets of predictions, relative to the largest of the sweep
EXPONENT = (0.25, 0.55)  # range of α and β
IRREDUCIBLE = (1.2, 2.2)  # range of E in nats per token
REDUCIBLE = (0.2, 0.8)  # range of the reducible loss in the middle of the sweep, uniform in the logarithm
NOISE = (0.001, 0.01)  # range of the standard deviation of ln L, uniform in the logarithm
LARGEST = (20.0, 22.0)  # range of log10 of the largest budget
SPAN = (1.5, 2.5)  # range of the decades of C between the smallest and the largest budget
TOKENS_PER_PARAMETER = 20.0  # median of the optimum in the middle of the sweep
GROWTH = (2.0, 6.0)  # range of the ratio of the noise of the smallest to that of the largest run
TAIL_DOF = 3  # degrees of freedom of heavy-tailed noise
RUNS = 24


@dataclass(frozen=True)
class Sweep:
    """A simulated sweep with its truth.

    Attributes:
        points: The runs.
        truth: Parameters of the law.
        targets: N and D of the compute-optimal runs at MULTIPLES (T,) each.
        losses: Loss of the law at the targets (T,).
        new_losses: Loss of a new run at the targets (T,), with the noise of a run that is as large as the largest.
    """

    points: Points
    truth: dict[str, float]
    targets: dict[str, np.ndarray]
    losses: np.ndarray
    new_losses: np.ndarray


Noise = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]  # N, C, generator -> deviations (n,)


def _independent(N: np.ndarray, C: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(len(N))


def _growing(N: np.ndarray, C: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Larger for small runs, by a power of C."""
    slope = np.log(rng.uniform(*GROWTH)) / np.log(C.max() / C.min())
    return np.asarray((C / C.max()) ** -slope * rng.standard_normal(len(N)))


def _heavy(N: np.ndarray, C: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Student's t with a variance of 1."""
    return np.asarray(rng.standard_t(TAIL_DOF, len(N)) / np.sqrt(TAIL_DOF / (TAIL_DOF - 2)))


def _by_size(N: np.ndarray, C: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the variance is common to the runs of a size."""
    sizes, size_n = np.unique(N, return_inverse=True)
    return np.asarray((rng.standard_normal(len(sizes))[size_n] + rng.standard_normal(len(N))) / np.sqrt(2))


@dataclass(frozen=True)
class Kind:
    """A kind of noise.

    Attributes:
        noise: Function that returns deviations of ln L, with a variance of 1 at the largest run.
        repeats_sizes: Whether the design must have several runs of each size.
        seeds: Number of seeds of each run.
        shared_prefix: Whether the runs say that those of a size share a prefix.
        two_tokens: Whether the design is a grid with two values of D, with which a range of E, B and β fits equally
            well. No other design of a sweep of nine runs or more has such a range.
    """

    noise: Noise
    repeats_sizes: bool = False
    seeds: int = 1
    shared_prefix: bool = False
    two_tokens: bool = False


KINDS = {
    "independent": Kind(_independent),
    "larger for small runs": Kind(_growing),
    "heavy tails": Kind(_heavy),
    "two seeds of each run": Kind(_independent, seeds=2),
    "shared trunks": Kind(_by_size, repeats_sizes=True, shared_prefix=True),
    "shared by a size, not known to the fit": Kind(_by_size, repeats_sizes=True),
    "two token counts": Kind(_independent, two_tokens=True),
}


def draw_sweep(kind: Kind, rng: np.random.Generator, runs: int = RUNS) -> Sweep:
    """Draws a law, a design and noise.

    Args:
        kind: Kind of the noise.
        rng: Random generator.
        runs: Number of runs; without seeds it has a divisor of at least 2 that is at most half of it.
    """
    largest = 10 ** rng.uniform(*LARGEST)
    smallest = largest * 10 ** -rng.uniform(*SPAN)
    truth = _draw_law(float(np.sqrt(smallest * largest)), rng)
    N, D, budgets = _draw_design(truth, (smallest, largest), runs // kind.seeds, kind, rng)
    N, D = np.repeat(N, kind.seeds), np.repeat(D, kind.seeds)
    C = FLOPS_PER_TOKEN * N * D
    sigma = np.exp(rng.uniform(*np.log(NOISE)))
    L = chinchilla(N, D, **truth) * np.exp(sigma * kind.noise(N, C, rng))
    new_C = np.array(MULTIPLES) * C.max()
    new_N = _optimal_size(truth, new_C)
    targets = {"N": new_N, "D": new_C / FLOPS_PER_TOKEN / new_N}
    losses = np.asarray(chinchilla(**targets, **truth))
    deviations = (_heavy if kind.noise is _heavy else _independent)(new_N, new_C, rng)
    budgets = None if budgets is None else np.repeat(budgets, kind.seeds)
    points = Points(N, D, C, L, [f"run {i}" for i in range(len(N))], budgets=budgets, source="simulated")
    if kind.shared_prefix:
        points = replace(points, shared_prefix=np.ones(len(N), bool))
    return Sweep(points, truth, targets, losses, losses * np.exp(sigma * deviations))


def _draw_law(middle: float, rng: np.random.Generator) -> dict[str, float]:
    """A law whose optimum at the budget `middle` has about TOKENS_PER_PARAMETER."""
    alpha, beta = rng.uniform(*EXPONENT, 2)
    ratio = TOKENS_PER_PARAMETER * np.exp(0.5 * rng.standard_normal())
    N = np.sqrt(middle / FLOPS_PER_TOKEN / ratio)
    reducible = np.exp(rng.uniform(*np.log(REDUCIBLE)))
    share = beta / (alpha + beta)  # of the term of N at the optimum, where α·A·N^−α = β·B·D^−β
    return {
        "E": float(rng.uniform(*IRREDUCIBLE)),
        "A": float(reducible * share * N**alpha),
        "B": float(reducible * (1 - share) * (ratio * N) ** beta),
        "alpha": float(alpha),
        "beta": float(beta),
    }


def _optimal_size(truth: dict[str, float], C: np.ndarray) -> np.ndarray:
    a, _, ln_g = laws.chinchilla_optimum(dict(truth), FLOPS_PER_TOKEN)
    return np.asarray(np.exp(ln_g) * (C / FLOPS_PER_TOKEN) ** a)


def _draw_shape(runs: int, kind: Kind, rng: np.random.Generator) -> tuple[str, int]:
    """Shape of a design, and its number of sizes, or of runs of a budget.

    A grid has at least three values of D, because two do not determine E, B and β, unless the kind is of two values.
    """
    if kind.two_tokens:
        return "grid", runs // 2
    lines = [count for count in (6, 4, 3, 2) if runs % count == 0 and runs // count >= 2]
    enough = [count for count in lines if runs // count >= 3]
    shapes = ["isoflop"] * (not kind.repeats_sizes) + ["grid"] * bool(enough) + ["ratios"]
    return str(rng.choice(shapes)), (enough or lines)[0]


def _draw_design(
    truth: dict[str, float], ends: tuple[float, float], runs: int, kind: Kind, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """N, D and budgets: isoFLOP curves about the optimum, a grid of N and D, or sizes at some tokens per parameter."""
    shape, lines = _draw_shape(runs, kind, rng)
    if shape == "isoflop":
        budgets = min(lines, runs // lines)
        C = np.repeat(np.geomspace(*ends, budgets), runs // budgets)
        half, shift = rng.uniform(0.7, 1.5), rng.uniform(-0.5, 0.5)
        offsets = shift + np.tile(np.linspace(-half, half, runs // budgets), budgets)
        N = _optimal_size(truth, C) * np.exp(offsets)
        return N, C / FLOPS_PER_TOKEN / N, C
    first, last = _optimal_size(truth, np.array(ends))
    N = np.repeat(np.geomspace(first, last, lines), runs // lines)
    if shape == "grid":
        tokens = np.geomspace(ends[0] / first, ends[1] / last, runs // lines) / FLOPS_PER_TOKEN
        return N, np.tile(tokens, lines), None
    ratios = TOKENS_PER_PARAMETER * np.geomspace(1 / rng.uniform(2, 5), rng.uniform(2, 8), runs // lines)
    return N, np.tile(ratios, lines) * N, None
