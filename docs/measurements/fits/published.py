"""Fits of published data sets: the authors' figures, the fit by their procedure, and the fit by default.

The authors' figures are from their papers and repositories, as quoted in SOURCE.md of each data set; the procedures
are those of tests/support/laws/published.py, which the tests hold to the digits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from analysis.data.load import load
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann.isoflop import fit_isoflop
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.observational import fit_observational
from analysis.studies.options import ObservationalOptions
from analysis.uncertainty.intervals import corrected_interval
from docs.measurements.results import Cell, Column, Results, Table, Value
from docs.measurements.session import Session
from tests.support.commands import PUBLISHED
from tests.support.laws import published

BESIROGLU = {"A": 482.00572, "B": 2085.4342, "E": 1.81686, "alpha": 0.34781, "beta": 0.36585}  # notebook, digits of LAD
LLAMA3_EXPONENT, LLAMA3_TOKENS = 0.53, 16.55e12  # Llama 3, section 3.2.1
GADRE = {"E": 1.51, "a": 141.0, "b": 190.0, "eta": 0.121}  # C4, table 2
GADRE_ERRORS = {("open_lm_1b", 640): (0.7103, 3.6365), ("open_lm_7b", 20): (0.7320, 0.0464)}  # notebook, percent
MUENNIGHOFF = {"RD_star": 15.387756, "RN_star": 5.309743}  # section 5
CLARK = {"a": -0.087, "b": -0.136, "c": 0.012, "d": 1.157, "E_start": 4.175, "E_max": 477.7}  # table 3, hash
CABALLERO = {"a": 0.41388453, "b": 2.27727229, "c0": 0.05507735, "c1": 5.66290382, "d1": 612.5836172}  # its script
OLMO = ("mmlu_avg_test_5shot", "hellaswag_val_5shot", "piqa_val_5shot", "arc_easy_test_5shot")
RUAN = {"models fitted": 3.7e-4, "models held out": 2.2e-4}  # figure of the notebook
LUO_R2 = 0.9988  # table 2, 25M


@dataclass(frozen=True)
class Comparison:
    """A published figure, the same figure by the authors' procedure here, and that of the default fit."""

    data: str
    quantity: str
    authors: float
    procedure: Cell = None
    default: Cell = None

    def row(self) -> list[Cell]:
        """Returns the row of the table."""
        return [self.data, self.quantity, self.authors, self.procedure, self.default]


def with_interval(result: Fit, name: str) -> Cell:
    """Returns a parameter with its interval."""
    return [result.params[name], *result.intervals[name]]


def compare_parameters(data: str, figures: dict[str, float], procedure: Fit, default: Fit) -> Iterator[Comparison]:
    """Yields a comparison per published parameter; its fits have the same parameters."""
    for name, value in figures.items():
        yield Comparison(data, name, value, procedure.params[name], with_interval(default, name))


def chinchilla(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Besiroglu 2024, by least absolute deviations of ln L as published; the default is Huber's loss."""
    points = published.chinchilla_240()
    default = verdicts["Chinchilla, 240 points"] = fit(points)
    yield from compare_parameters(
        "Chinchilla's 240 points (Besiroglu 2024)", BESIROGLU, fit(points, options=FitOptions(objective="lad")), default
    )


def llama3(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Llama 3: parabolas in ln D with equal weights; the default weighs minima by their errors."""
    points = load(PUBLISHED / "llama3_isoflop" / "isoflop_digitised.csv")
    procedure = fit(points, "chinchilla-2", FitOptions(weighting="equal"))
    default = fit(points, "chinchilla-2")
    surface = verdicts["Llama 3, surface"] = fit(points)
    name = "Llama 3's isoFLOPs, digitised"
    yield Comparison(name, "exponent of D*", LLAMA3_EXPONENT, procedure.params["b"], with_interval(default, "b"))
    assert procedure.optimum is not None and surface.optimum is not None
    tokens = procedure.optimum.at(3.8e25)["D"]
    yield Comparison(name, "D* at 3.8e25 FLOPs", LLAMA3_TOKENS, tokens)


def porian(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Porian 2024, each of ten conventions and recipes; the default is approach 2 with Akima's minima."""
    figures = published.porian("published_fits").set_index("config")["a"]
    for config, value in figures.items():
        default = fit_isoflop(published.porian_runs(str(config)), FitOptions(minimum="akima"))
        assert default.params is not None
        interval = corrected_interval(default.params["a"], 0.95)
        recipe = str(config).removeprefix("rw_").replace("_", " ")
        yield Comparison(
            f"RefinedWeb (Porian 2024), {recipe}",
            "exponent of N*",
            float(value),
            published.porian_fit(str(config)).params["a"],
            [float(default.params["a"][0]), *interval],
        )


def gadre(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Gadre 2024: least squares on five runs; the default takes all runs of the data set."""
    runs = published.gadre("c4_original")
    default = verdicts["Over-training, all runs on C4"] = published.gadre_loss_fit(runs, "huber-log")
    procedure = published.gadre_loss_fit(published.gadre_five(runs), "mse")
    yield from compare_parameters("over-training on C4 (Gadre 2024)", GADRE, procedure, default)
    runs = published.gadre("rpj")
    loss = published.gadre_loss_fit(published.gadre_five(runs), "mse")
    six = published.gadre_six(runs)
    tasks = fit({"L": six["loss_c4_val"], "Err": six["err_avg_subset"]}, "error", FitOptions(bootstrap=100))
    for (model, ratio), (loss_error, task_error) in GADRE_ERRORS.items():
        run = runs[(runs["model"] == model) & (runs["token_multiplier"] == ratio)].iloc[0]
        L = float(loss.predict(C=run["flops_6nd"], M=ratio))
        name = f"RedPajama (Gadre 2024), {model} at {ratio} tokens per parameter"
        yield Comparison(name, "error of the loss, %", loss_error, 100 * abs(L / run["loss_c4_val"] - 1))
        predicted = 100 * abs(float(tasks.predict(L=L)) / run["err_avg_subset"] - 1)
        yield Comparison(name, "error of the mean task error, %", task_error, predicted)


def muennighoff(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Muennighoff 2023: the minimum next to the authors' start; the default is the lowest of several."""
    fixed = published.MUENNIGHOFF_FIXED
    procedure = published.muennighoff_fit(fix=fixed, start={"RD_star": 15.0, "RN_star": 5.0})
    default = verdicts["Repeated data"] = published.muennighoff_fit(fix=fixed)
    yield from compare_parameters("repeated data (Muennighoff 2023)", MUENNIGHOFF, procedure, default)


def clark(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Clark 2022: least squares of log10 L; the default is Huber's loss."""
    default = verdicts["Hash routing"] = published.clark_fit("routing")
    procedure = published.clark_fit("routing", objective="mse-log")
    yield from compare_parameters("hash routing (Clark 2022)", CLARK, procedure, default)


def caballero(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Caballero 2023: least squares of ln(1 + L) on 14 points."""
    default = verdicts["Broken power law"] = published.addition_fit(None)
    yield from compare_parameters("four-digit addition (Caballero 2023)", CABALLERO, published.addition_fit(), default)


def olmo(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """OLMo ladder 2024: the authors' procedure is the default; the interval is that of the law."""
    table = pd.read_csv(PUBLISHED / "olmo_ladder2024" / "published_13B_predictions.csv")
    chained = table[table["stage"] == "chained_main"].set_index("Task")
    for task in OLMO:
        result = published.olmo_fit(task, bootstrap=300)
        value = float(result.predict(**published.OLMO_TARGET))
        low, high = (float(np.ravel(end)[0]) for end in result.predict_interval(**published.OLMO_TARGET))
        text, actual = (float(chained[column][task]) for column in ("Pred", "Actual"))
        name = f"OLMo ladder 2024, {task.partition('_')[0]} at 13B"
        yield Comparison(name, f"accuracy (measured {actual:.4f})", text, value, [value, low, high])


def ruan(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Ruan 2024: the authors' procedure is the default."""
    options = ObservationalOptions(full=10, holdout='col("ABench-OA")>2.45', bootstrap=100)
    result = fit_observational(published.ruan(), published.RUAN_SCORES, "ABench-OA", options)
    errors = (result.train_error, result.held_out_error)
    for (part, value), error in zip(RUAN.items(), errors, strict=True):
        yield Comparison(f"observational law (Ruan 2024), {part}", "mean squared error", value, error)


def luo(verdicts: dict[str, Fit]) -> Iterator[Comparison]:
    """Luo 2025: R² of the unseen schedules at the published parameters; the default fits the three training curves."""
    curves = published.luo()
    train, test = (curves[curves["split"] == split] for split in ("train", "test"))
    default = verdicts["Multi-power law"] = fit(
        train[["step", "lr", "curve", "loss"]], "multi-power", FitOptions(bootstrap=100)
    )
    values = [
        published.luo_errors(test, "multi-power", parameters)["R2"]
        for parameters in (published.LUO_PARAMETERS, default.params)
    ]
    yield Comparison("multi-power law (Luo 2025)", "R² of unseen schedules", LUO_R2, *values)


DATA_SETS = (chinchilla, llama3, porian, gadre, muennighoff, clark, caballero, olmo, ruan, luo)


def measure(session: Session) -> Results:
    """Fits every data set by both procedures."""
    began, clock = datetime.now(UTC), time.monotonic()
    verdicts: dict[str, Fit] = {}
    rows = [comparison.row() for data_set in DATA_SETS for comparison in data_set(verdicts)]
    session.log("python -m docs.measurements published-fits", began, time.monotonic() - clock)
    columns = [
        Column("data set"),
        Column("quantity"),
        Column("authors", ".6g"),
        Column("their procedure, here", ".6g"),
        Column("default fit, here [95% interval]", ".4g"),
    ]
    lines = [[name, len(result.points), "; ".join(result.verdict)] for name, result in verdicts.items()]
    return Results(
        {
            "main": Table(columns, rows),
            "verdicts": Table([Column("default fit"), Column("points", ","), Column("verdict")], lines),
        },
        {"figures": Value(len(rows)), "data_sets": Value(len(DATA_SETS))},
    )
