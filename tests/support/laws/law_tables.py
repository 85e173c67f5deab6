"""A table of runs for every law: inputs where runs would be, published or usual parameters, and a little noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.fitting.parametric import make_problem
from analysis.fitting.selection import select_points
from analysis.solver.objective import make_objective
from analysis.solver.search import search
from analysis.uncertainty.seed_noise import weight_points

NOISE = 2e-3
SIZES, TOKENS = np.geomspace(1e8, 1e11, 6), np.geomspace(1e9, 1e12, 5)
COMPUTE = np.geomspace(1e17, 1e24, 12)
CURVE = np.geomspace(1e4, 1e9, 30)
EXPERTS = np.array([1.0, 2, 4, 8, 16, 32, 64, 128])
STEPS = np.linspace(100, 6000, 40).round()
SURFACE = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
SCHEDULE = {"L0": 2.5, "A": 0.6, "alpha": 0.5, "C": 2.0}
DEEPSEEK = ("deepseek-lr", "deepseek-batch")
REPEATED = {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35}
BNSL = {"a": 0.2, "b": 5.0, "c0": 0.1, "c1": 0.6, "d1": 3e6, "f1": 0.4}
BNSL_2 = {**BNSL, "c2": -0.3, "d2": 1e8, "f2": 0.2}

GRIDS: dict[str, dict[str, np.ndarray]] = {
    "chinchilla": {"N": SIZES, "D": TOKENS},
    "over-training": {"C": COMPUTE[:6], "M": np.geomspace(5, 600, 6)},
    "data-constrained": {"N": SIZES[:4], "D": TOKENS, "U": np.geomspace(1e8, 1e10, 3)},
    "error": {"L": np.linspace(1.9, 3.5, 24)},
    "sigmoid": {"L": np.linspace(0.3, 1.6, 24)},
    "kaplan-nd": {"N": SIZES, "D": TOKENS},
    "kaplan-ns": {"N": SIZES, "S": np.geomspace(1e3, 1e6, 6)},
    "kaplan-nsb": {"N": SIZES[::2], "S": np.geomspace(1e3, 1e6, 4), "B": np.geomspace(1e4, 1e8, 3)},
    "critical-batch": {"L": np.linspace(2, 6, 12)},
    "transfer": {"DF": np.geomspace(1e5, 1e9, 5), "N": SIZES},
    "routing": {"N": np.geomspace(1.6e7, 1.3e9, 6), "E": EXPERTS},
    "granularity": {"N": SIZES[:4], "D": TOKENS[:4], "G": EXPERTS[:5]},
    "sae-n": {"n": np.geomspace(2**11, 2**24, 12)},
    "sae-nk": {"n": np.geomspace(2**11, 2**24, 8), "k": 2.0 ** np.arange(3, 9)},
    "reward-bon": {"d": np.linspace(0.4, 8, 20)},
    "reward-rl": {"d": np.linspace(0.4, 8, 20)},
    "step-law-lr": {"N": SIZES, "D": TOKENS},
    "step-law-batch": {"D": np.geomspace(1e9, 1e12, 8)},
    **{name: {"N": np.geomspace(1e6, 1e11, 12)} for name in ("kaplan-n", "power-n")},
    **{name: {"D": np.geomspace(1e8, 1e13, 12)} for name in ("kaplan-d", "power-d")},
    **{name: {"C": COMPUTE} for name in ("kaplan-c", "power-c", "optimal-n", "optimal-d", *DEEPSEEK)},
    **{name: {"x": CURVE} for name in ("m1", "m2", "m3", "m4", "bnsl", "bnsl-1", "bnsl-2")},
}
TRUTHS: dict[str, dict[str, float]] = {
    "chinchilla": SURFACE,
    "over-training": {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12},
    "data-constrained": {**REPEATED, "RD_star": 15.4, "RN_star": 5.3},
    "error": {"epsilon": 0.85, "k": 2.1, "gamma": 0.75},
    "sigmoid": {"a": -0.75, "k": 7.0, "L0": 0.8, "b": 1.0},
    "kaplan-n": {"Nc": 8.8e13, "alpha": 0.076},
    "kaplan-d": {"Dc": 5.4e13, "alpha": 0.095},
    "kaplan-c": {"Cc": 2.7e28, "alpha": 0.05},
    "power-n": {"E": 1.7, "A": 400.0, "alpha": 0.34},
    "power-d": {"E": 1.7, "B": 400.0, "beta": 0.28},
    "power-c": {"E": 1.7, "G": 2e3, "gamma": 0.15},
    "m1": {"beta": 12.0, "c": -0.17},
    "m2": {"eps_inf": 0.3, "beta": 50.0, "c": -0.35},
    "m3": {"beta": 20.0, "gamma": 3e-8, "c": 0.25},
    "m4": {"eps_inf": 0.2, "eps_0": 0.95, "beta": 4000.0, "c": -0.6, "alpha": 0.4},
    "bnsl": BNSL,
    "bnsl-1": BNSL,
    "bnsl-2": BNSL_2,
    "multi-power": {**SCHEDULE, "B": 300.0, "beta": 0.5, "gamma": 0.6},
    "tissue": {**SCHEDULE, "C": 0.5, "lam": 0.995},
    "optimal-n": {"G": 0.1, "a": 0.5},
    "optimal-d": {"G": 2.0, "b": 0.5},
    "kaplan-nd": {"Nc": 6.4e13, "Dc": 1.8e13, "alphaN": 0.076, "alphaD": 0.103},
    "kaplan-ns": {"Nc": 6.5e13, "Sc": 2.1e3, "alphaN": 0.077, "alphaS": 0.76},
    "kaplan-nsb": {"Nc": 6.5e13, "Sc": 2.1e3, "alphaN": 0.077, "alphaS": 0.76, "B_star": 2.1e8, "alphaB": 0.21},
    "critical-batch": {"B_star": 2.1e8, "alphaB": 0.21},
    "transfer": {"k": 1.9e4, "alpha": 0.18, "beta": 0.38},
    "routing": {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "E_start": 1.847, "E_max": 314.478},
    "granularity": {"c": 0.47, "g": 2.1, "a": 18.1, "b": 30.8, "alpha": 0.115, "beta": 0.147, "gamma": 0.58},
    "sae-n": {"alpha": 1.0, "beta_n": -0.25, "zeta": -1.5},
    "sae-nk": {"alpha": -0.5, "beta_k": 0.26, "beta_n": -0.017, "gamma": -0.042, "zeta": -1.32, "eta": -0.085},
    "reward-bon": {"alpha": 0.5, "beta": 0.03},
    "reward-rl": {"alpha": 0.5, "beta": 0.1},
    "step-law-lr": {"c": 1.79, "alpha": -0.713, "beta": 0.307},
    "step-law-batch": {"c": 0.58, "beta": 0.571},
    "deepseek-lr": {"c": 0.3118, "g": 0.125},
    "deepseek-batch": {"c": 0.2920, "g": 0.3271},
}  # fmt: skip


def law_table(name: str, seed: int = 0) -> pd.DataFrame:
    """Runs of a law, one row each: its inputs and output by letter, with relative noise."""
    law = laws.LAWS[name]
    frame = _schedules() if "step" in law.inputs else _grid(GRIDS[name])
    inputs = [frame[letter].to_numpy() for letter in law.inputs]
    if law.labels:
        inputs[-1] = pd.factorize(inputs[-1])[0] + 1.0
    y = np.ravel(law.function(*inputs, **TRUTHS[name]))
    return frame.assign(**{law.output: y * np.exp(NOISE * np.random.default_rng(seed).normal(size=len(y)))})


def _grid(axes: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({letter: x.ravel() for letter, x in zip(axes, np.meshgrid(*axes.values()), strict=True)})


def _schedules() -> pd.DataFrame:
    """Steps and learning rates of two schedules."""
    done = STEPS / STEPS[-1]
    rates = {"cosine": 1e-3 * (0.55 + 0.45 * np.cos(np.pi * done)), "jump": np.where(done < 0.5, 1e-3, 3e-4)}
    return pd.concat([pd.DataFrame({"step": STEPS, "lr": lr, "curve": name}) for name, lr in rates.items()])


def predictions(source: Any, name: str, reading: ReadOptions = ReadOptions()) -> np.ndarray:
    """Outputs of the law fitted to a source, at the runs of `law_table`. Without uncertainty, which takes most time."""
    law = laws.LAWS[name]
    objective = make_objective(law.objective)
    points = weight_points(load(source, law, reading), law, objective, "column")
    points, _ = select_points(points, law, name)
    problem = make_problem(points, law, objective)
    params = {key: float(value[0]) for key, value in problem.params(search(problem).u_P[None]).items()}
    frame = law_table(name)
    inputs = [frame[letter].to_numpy() for letter in law.inputs]
    if law.labels:
        inputs[-1] = pd.factorize(inputs[-1])[0] + 1.0
    return np.ravel(law.function(*inputs, **params))
