"""Times fits of the Chinchilla law: search and bootstrap of this package and of plain SciPy on the same points.

Plain SciPy follows published code: Hoffmann's log-sum-exp with Huber's loss on the log loss, L-BFGS-B without a
gradient from each of the 4,500 points of his grid; then BFGS with the gradient from the optimum for each of 4,000
bootstrap samples. That takes minutes, so a random sample of both is timed and extrapolated, which the result
states. Times are wall-clock and processor time; the latter includes all cores and spinning threads of the linear
algebra library.

The result has a lower bound of this method on this machine: the operations of one evaluation of the objective, its
gradient and curvature, times the rates of NumPy on arrays in the cache, which are measured too, times the number of
evaluations that the synthetic points need. With n points, an evaluation of a bootstrap sample takes 2n exponentials,
n logarithms, 31n elementwise operations (of these 15 for the derivatives and their weights) and 25n multiply-adds for
the curvature; of the linear part at a cell of the grid n logarithms, 21n elementwise operations and 9n multiply-adds.

Key: N parameters, D tokens, L nats per token, C FLOPs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import huber, logsumexp

from analysis import laws
from analysis.data.points import Points
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.loss import chinchilla
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from analysis.solver.search import search
from analysis.studies.options import BenchOptions
from analysis.uncertainty.resampling.bootstrap import sample_parameters
from scaling.store.origin.paths import public_path

# Besiroglu 2024, table 1, and the shape of the sweep there: 240 runs of Hoffmann 2022, figure 4.
PUBLISHED = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
BUDGETS = np.geomspace(6e18, 3e21, 9)
RUNS, NOISE, DELTA = 240, 0.006, 1e-3
BOOTSTRAPS, REPEATS = 4000, 3
TOLERANCE = 1e-9  # relative difference up to which two objectives count as equal
GRID = {  # Hoffmann 2022, appendix D.3
    "a": np.arange(0.0, 26, 5),
    "b": np.arange(0.0, 26, 5),
    "e": np.arange(-1.0, 1.1, 0.5),
    "alpha": np.arange(0.0, 2.1, 0.5),
    "beta": np.arange(0.0, 2.1, 0.5),
}
OPERATIONS = {  # of an evaluation, for each point: exponentials, logarithms, elementwise operations, multiply-adds
    "sample": (2, 1, 31, 25),
    "cell": (0, 1, 21, 9),
}
EVALUATIONS = {"sample": 33_300, "cell": 28_200}  # of 4,000 samples and of the search on the synthetic points
RATE_ROWS = 100  # rows of the arrays whose rates are measured, as in a block of the minimisation
Progress = Callable[[str], None]


def synthetic_points(seed: int = 0) -> Points:
    """Returns points of the published law with normal noise in ln L, at a design similar to the published sweep."""
    rng = np.random.default_rng(seed)
    C = rng.choice(BUDGETS, RUNS)
    a, _, ln_g = laws.chinchilla_optimum(PUBLISHED, 6.0)
    N = np.exp(ln_g + rng.uniform(-2, 2, RUNS)) * (C / 6) ** a
    D = C / (6 * N)
    L = chinchilla.chinchilla(N, D, **PUBLISHED) * np.exp(NOISE * rng.normal(size=RUNS))
    return Points(N, D, C, L, [f"run {i}" for i in range(RUNS)], source=f"{RUNS} synthetic runs")


class Stopwatch:
    """Sums the wall-clock and processor seconds of its `with` blocks."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._start[0]
        self.cpu += time.process_time() - self._start[1]

    def seconds(self, factor: float) -> dict[str, float]:
        """Returns the seconds times a factor, such as 1 / repetitions."""
        return {"wall_s": self.wall * factor, "cpu_s": self.cpu * factor}


def time_fits(
    points: Points, options: BenchOptions = BenchOptions(), progress: Progress = lambda _: None
) -> dict[str, Any]:
    """Times this package and plain SciPy, and compares their objectives.

    Args:
        points: Points to fit.
        options: Number of starts and bootstrap fits of SciPy to time.
        progress: Called with a line of text at each step.
    """
    progress("search and bootstrap of this package")
    package, params = _time_package(points, options.seed)
    scipy = _time_scipy(points, params, options, progress)
    clocks = ("wall_s", "cpu_s")
    seconds = {
        name: {clock: times["search"][clock] + times["bootstrap"][clock] for clock in clocks}
        for name, times in (("package", package), ("scipy", scipy))
    }
    return {
        "points": len(points),
        "source": public_path(points.source),
        "cores": os.cpu_count(),
        "package": package,
        "scipy": scipy,
        "seconds": seconds,
        "bound": _lower_bound(points, seconds["package"]["cpu_s"]),
        "ratio": {clock: seconds["scipy"][clock] / seconds["package"][clock] for clock in clocks},
        "lowest": package["objective"] <= scipy["objective"] * (1 + TOLERANCE),
    }


def _time_package(points: Points, seed: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Mean seconds of REPEATS repetitions of each step, and the parameters."""
    law, objective = laws.LAWS["chinchilla"], OBJECTIVES["huber-log"]
    problem = Problem(law, (points.N, points.D), np.log(points.L), np.ones(len(points)), objective)
    search_time, bootstrap_time, fit_time = Stopwatch(), Stopwatch(), Stopwatch()
    for _ in range(REPEATS):
        with search_time:
            solution = search(problem)
        with bootstrap_time:
            sample_parameters(problem, solution.u_P, points, BOOTSTRAPS, seed, "cases")
        with fit_time:
            fit(points, "chinchilla", FitOptions(objective="huber-log", bootstrap=BOOTSTRAPS, seed=seed))
    u_1P = solution.u_P[None]
    times = {
        "search": search_time.seconds(1 / REPEATS),
        "bootstrap": bootstrap_time.seconds(1 / REPEATS),
        "fit": fit_time.seconds(1 / REPEATS),
        "starts": solution.starts,
        "draws": BOOTSTRAPS,
        "repeats": REPEATS,
        "objective": objective.value(problem.residual(u_1P)[0], problem.weights),
    }
    return times, {name: float(x[0]) for name, x in problem.params(u_1P).items()}


def _lower_bound(points: Points, package_s: float) -> dict[str, Any]:
    """Seconds of one core that the operations alone take, and their share of the processor seconds of this package."""
    rates = operation_seconds(len(points))
    counts = {
        name: len(points) * sum(EVALUATIONS[kind] * OPERATIONS[kind][i] for kind in OPERATIONS)
        for i, name in enumerate(rates)
    }
    seconds = sum(counts[name] * rates[name] for name in rates)
    return {"operations": counts, "seconds_each": rates, "cpu_s": seconds, "share": seconds / package_s}


def operation_seconds(n: int) -> dict[str, float]:
    """Measures the seconds of each kind of operation in NumPy, for arrays of a block: the fastest of 20 repetitions.

    Args:
        n: Number of points.
    """
    a, out = np.random.default_rng(0).uniform(0.5, 1.5, (2, RATE_ROWS, n))
    stack = np.random.default_rng(1).normal(size=(RATE_ROWS, 5, n))
    kinds: dict[str, tuple[Callable[[], object], int]] = {
        "exponential": (lambda: np.exp(a, out=out), a.size),
        "logarithm": (lambda: np.log(a, out=out), a.size),
        "elementwise": (lambda: np.multiply(a, 1.1, out=out), a.size),
        "multiply_add": (lambda: stack @ (stack + 0.0).transpose(0, 2, 1), 25 * a.size),
    }
    rates = {}
    for name, (operation, count) in kinds.items():
        times = []
        for _ in range(20):
            start = time.perf_counter()
            operation()
            times.append(time.perf_counter() - start)
        rates[name] = min(times) / count
    return rates


def hoffmann_loss(x: np.ndarray, ln_N: np.ndarray, ln_D: np.ndarray, ln_L: np.ndarray) -> float:
    """Returns Hoffmann's objective (2022, equation 3).

    Args:
        x: (a, b, e, alpha, beta), with a = ln A, b = ln B, e = ln E.
        ln_N: Log parameters (n,).
        ln_D: Log tokens (n,).
        ln_L: Log losses (n,).
    """
    a, b, e, alpha, beta = x
    terms = np.stack([a - alpha * ln_N, b - beta * ln_D, np.full_like(ln_N, e)])
    return float(huber(DELTA, logsumexp(terms, axis=0) - ln_L).sum())


def hoffmann_gradient(x: np.ndarray, ln_N: np.ndarray, ln_D: np.ndarray, ln_L: np.ndarray) -> np.ndarray:
    """Returns the gradient of `hoffmann_loss`, written by hand because automatic differentiation is slower.

    Args:
        x: (a, b, e, alpha, beta), with a = ln A, b = ln B, e = ln E.
        ln_N: Log parameters (n,).
        ln_D: Log tokens (n,).
        ln_L: Log losses (n,).
    """
    a, b, e, alpha, beta = x
    terms = np.stack([a - alpha * ln_N, b - beta * ln_D, np.full_like(ln_N, e)])
    total = logsumexp(terms, axis=0)
    part = np.exp(terms - total) * np.clip(total - ln_L, -DELTA, DELTA)
    return np.array([*part.sum(1), -part[0] @ ln_N, -part[1] @ ln_D])


def hoffmann_grid() -> np.ndarray:
    """Returns the 4,500 starts (a, b, e, alpha, beta) of Hoffmann 2022."""
    return np.array(list(itertools.product(*GRID.values())))


def _time_scipy(points: Points, params: dict[str, float], options: BenchOptions, progress: Progress) -> dict[str, Any]:
    rng = np.random.default_rng(options.seed)
    logs = np.log(points.N), np.log(points.D), np.log(points.L)
    grid = hoffmann_grid()
    starts = rng.choice(len(grid), min(options.starts, len(grid)), replace=False)
    lowest, search_time, bootstrap_time = np.inf, Stopwatch(), Stopwatch()
    for i, start in enumerate(grid[starts]):
        progress(f"scipy L-BFGS-B, start {i + 1} of {len(starts)} timed")
        with search_time:
            result = minimize(hoffmann_loss, start, logs, method="L-BFGS-B")
        lowest = min(lowest, float(result.fun))
    # BFGS starts from the optimum of this package, the best possible start.
    optimum = np.array([np.log(params["A"]), np.log(params["B"]), np.log(params["E"]), params["alpha"], params["beta"]])
    lowest = min(lowest, float(minimize(hoffmann_loss, optimum, logs, jac=hoffmann_gradient, method="BFGS").fun))
    for i in range(options.draws):
        progress(f"scipy BFGS, bootstrap {i + 1} of {options.draws} timed")
        rows = rng.integers(len(points), size=len(points))
        with bootstrap_time:
            minimize(hoffmann_loss, optimum, tuple(x[rows] for x in logs), jac=hoffmann_gradient, method="BFGS")
    return {
        "search": search_time.seconds(len(grid) / len(starts)),
        "bootstrap": bootstrap_time.seconds(BOOTSTRAPS / options.draws),
        "starts": len(grid),
        "starts_timed": len(starts),
        "draws": BOOTSTRAPS,
        "draws_timed": options.draws,
        "extrapolated": len(starts) < len(grid) or options.draws < BOOTSTRAPS,
        "objective": lowest,
    }
