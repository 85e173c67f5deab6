"""Negative controls, in which the loss does not depend on an input, are never converged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import make_problem
from analysis.laws import LAWS
from analysis.solver.objective import OBJECTIVES
from analysis.solver.search import search
from analysis.uncertainty.effects import check_inputs, input_p_value

FAST = FitOptions(bootstrap=100)
CONTROLS = ("shuffled N", "shuffled D", "shuffled L", "constant", "constant with noise", "random")


def runs(control: str, seed: int, n: int = 60) -> Points:
    """Runs of Chinchilla's law with 0.3% noise, changed so that the law does not hold."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e20, n // 12), 12)
    N = np.exp(np.log((C / 6) ** 0.5 / 4.5) + rng.uniform(-1.3, 1.3, n))
    D = C / 6 / N
    L = (1.8 + 450 * N**-0.34 + 1800 * D**-0.36) * np.exp(0.003 * rng.normal(size=n))
    N, D = (rng.permutation(x) if control == f"shuffled {k}" else x for k, x in (("N", N), ("D", D)))
    L = {
        "shuffled L": rng.permutation(L),
        "constant": np.full(n, 3.0),
        "constant with noise": 3.0 * np.exp(0.003 * rng.normal(size=n)),
        "random": rng.uniform(2, 4, n),
    }.get(control, L)
    extra = {"U": np.minimum(D, 1e10), "x": 6 * N * D}
    return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(n)], extra=extra)


def outcome(control: str, seed: int, law: str, n: int = 60) -> str:
    """The verdict in a word."""
    try:
        return "converged" if fit(runs(control, seed, n), law, FAST).verdict == ("converged",) else "warned"
    except FitError:
        return "refused"


@pytest.mark.parametrize("control", CONTROLS)
def test_a_negative_control_is_not_converged(control: str) -> None:
    assert outcome(control, 0, "chinchilla") in ("warned", "refused")


def test_the_law_itself_is_converged() -> None:
    assert outcome("none", 0, "chinchilla") == "converged"


def test_the_frontier_of_random_losses_is_no_law() -> None:
    """The losses of a frontier fall with compute by construction."""
    verdicts = []
    for seed in (0, 3, 5):
        try:
            verdicts.append(fit(runs("random", seed, 240), "kaplan-c", FAST).verdict)
        except FitError:
            continue
    assert verdicts and all(any("as any frontier does" in line for line in verdict) for verdict in verdicts)


def test_approach_1_on_shuffled_losses_is_not_converged() -> None:
    """The envelope of the losses falls with compute by construction."""
    assert {outcome("shuffled L", seed, "chinchilla-1") for seed in range(12)} <= {"warned", "refused"}


def test_the_warning_names_the_input_and_its_p_value() -> None:
    points = runs("none", 0)
    problem = make_problem(points, LAWS["chinchilla"], OBJECTIVES["huber-log"])
    u_P = search(problem, find_others=False).u_P
    assert check_inputs(problem, u_P, points) == [] and input_p_value(problem, u_P, points, "N") < 1e-9
    shuffled = dataclasses.replace(points, D=np.random.default_rng(1).permutation(points.D))
    problem = make_problem(shuffled, LAWS["chinchilla"], OBJECTIVES["huber-log"])
    u_P = search(problem, find_others=False).u_P
    p = input_p_value(problem, u_P, shuffled, "D")
    (line,) = check_inputs(problem, u_P, shuffled)
    assert p > 1e-3 and line.startswith("no-effect") and f"D (p = {p:.2g})" in line


@pytest.mark.long  # some minutes: rates over all controls and laws
@pytest.mark.parametrize(
    "law", ["chinchilla", "over-training", "data-constrained", "kaplan-nd", "kaplan-n", "kaplan-c", "power-d", "m2"]
)
def test_negative_controls_are_converged_at_a_rate_below_one_percent(law: str) -> None:
    outcomes = [outcome(control, seed, law) for control in CONTROLS[2:] for seed in range(30)]
    assert outcomes.count("converged") <= 1
