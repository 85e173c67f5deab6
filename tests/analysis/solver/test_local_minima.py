"""The result of a search is the lowest of all refined minima; exchanged parameters are the same minimum."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from analysis import laws
from analysis.solver import search as search_module
from analysis.solver.local_minima import distinct_minima, exchanges, in_order
from analysis.solver.minimise import minimise
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from analysis.solver.search import Solution, search

BROKEN = laws.LAWS["bnsl-2"]


def some_starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """Every sixth start of the law, and each with its breaks exchanged."""
    assert BROKEN.starts_from_data is not None
    starts = {name: values[::6] for name, values in BROKEN.starts_from_data(inputs, y).items()}
    other = {"1": "2", "2": "1", "0": "0"}
    return {name: np.concatenate([values, starts[name[0] + other[name[1]]]]) for name, values in starts.items()}


LAW = dataclasses.replace(BROKEN, starts_from_data=some_starts)


@functools.cache
def curve_problem(seed: int = 1) -> Problem:
    """A curve of two breaks with 1% noise; the breaks of some of its minima are in the other order."""
    rng = np.random.default_rng(seed)
    x = np.geomspace(10, 1e5, 25)
    params = {"a": 0.1 * rng.random(), "b": 3.0, "c0": rng.uniform(-0.1, 0.3)}
    for i, (low, high) in enumerate([(50, 1000), (2000, 2e4)], 1):
        params |= {f"c{i}": rng.uniform(-0.3, 0.8), f"d{i}": rng.uniform(low, high), f"f{i}": rng.uniform(0.1, 0.5)}
    y = np.log(LAW.function(x, **params)) + 0.01 * rng.normal(size=25)
    return Problem(LAW, (x,), y, np.ones(25), OBJECTIVES["mse-log"])


@functools.cache
def solution_of_curve() -> Solution:
    return search(curve_problem())


def cost(problem: Problem, u_P: np.ndarray) -> float:
    return float(problem.cost(problem.residual(u_P[None]))[0])


def test_minima_with_breaks_exchanged_are_one_minimum_with_its_breaks_in_order() -> None:
    problem, solution = curve_problem(), solution_of_curve()
    d1, d2 = (problem.params(solution.u_P[None])[name][0] for name in ("d1", "d2"))
    outputs = problem.model(np.array([solution.u_P, *solution.other_minima]))
    assert d1 < d2 and all(np.abs(output / outputs[0] - 1).max() > 1e-6 for output in outputs[1:])
    exchanged = exchanges(problem, solution.u_P)[1]
    assert cost(problem, exchanged) == pytest.approx(cost(problem, solution.u_P), rel=1e-12)
    assert np.array_equal(in_order(problem, exchanged), solution.u_P)


def test_no_listed_minimum_is_lower_than_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """The starts end before they have converged, and the refinement of another than the lowest ends lowest."""
    monkeypatch.setattr(search_module, "minimise", functools.partial(minimise, iterations=20))
    problem = curve_problem(3)
    solution = search(problem)
    assert cost(problem, solution.u_P) == pytest.approx(9.8183567e-4, rel=1e-4)  # where the lowest start is: 1.25e-3
    assert all(cost(problem, solution.u_P) <= cost(problem, u) for u in solution.other_minima)
    assert solution.starts["agreed"] >= 1


def test_a_refined_end_point_below_the_lowest_becomes_the_result() -> None:
    problem, solution = curve_problem(), solution_of_curve()
    higher = solution.u_P + 0.1
    near = solution.u_P + 0.002
    minima = distinct_minima(problem, near[None], np.array([cost(problem, higher)]), higher, 7)
    assert minima[0].start == 0
    assert minima[0].cost == pytest.approx(cost(problem, solution.u_P), rel=1e-9)


def test_a_fixed_break_cannot_be_exchanged() -> None:
    fixed = laws.constrain(LAW, {"d1": 100.0})
    assert LAW.exchangeable == (("d1", "c1", "f1"), ("d2", "c2", "f2")) and fixed.exchangeable == ()
