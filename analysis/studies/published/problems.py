"""The problems of the collection: published figures, the authors' procedures, and the default fits.

The figures are from the papers and repositories that the manifest names. Key: N parameters, D tokens, C FLOPs, L loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.load import load
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann.isoflop import fit_isoflop
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.observational import fit_observational
from analysis.studies.options import ObservationalOptions
from analysis.studies.published import procedures
from analysis.studies.published.outcomes import Comparison, Estimate, Outcome
from analysis.uncertainty.intervals import corrected_interval

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
OELLM = {"c": 0.371396, "alpha": -0.417054, "beta": 0.086203}  # notebook, learning rate
BECK = {2048: 0.5535, 8192: 0.5773, 16384: 0.5693}  # notebook, exponent of N* by context, up to 5e19 FLOPs

Fits = dict[str, Fit]  # default fits by name


def with_interval(result: Fit, name: str) -> Estimate:
    """Returns a parameter with its interval."""
    low, high = result.intervals[name]
    return result.params[name], low, high


def compare_parameters(data: str, figures: dict[str, float], procedure: Fit, default: Fit) -> Iterator[Comparison]:
    """Yields a comparison per published parameter; its fits have the same parameters."""
    for name, value in figures.items():
        yield Comparison(data, name, value, procedure.params[name], with_interval(default, name))


def chinchilla(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Besiroglu 2024, by least absolute deviations of ln L as published; the default is Huber's loss."""
    points = procedures.chinchilla_240(data)
    default = fits["Chinchilla, 240 points"] = fit(points)
    yield from compare_parameters(
        "Chinchilla's 240 points (Besiroglu 2024)", BESIROGLU, fit(points, options=FitOptions(objective="lad")), default
    )


def llama3(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Llama 3: parabolas in ln D with equal weights; the default weighs minima by their errors."""
    points = load(data / "llama3_isoflop" / "isoflop_digitised.csv")
    procedure = fit(points, "chinchilla-2", FitOptions(weighting="equal"))
    default = fit(points, "chinchilla-2")
    surface = fits["Llama 3, surface"] = fit(points)
    name = "Llama 3's isoFLOPs, digitised"
    yield Comparison(name, "exponent of D*", LLAMA3_EXPONENT, procedure.params["b"], with_interval(default, "b"))
    assert procedure.optimum is not None and surface.optimum is not None
    tokens = procedure.optimum.at(3.8e25)["D"]
    yield Comparison(name, "D* at 3.8e25 FLOPs", LLAMA3_TOKENS, tokens)


def porian(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Porian 2024, each of ten conventions and recipes; the default is approach 2 with Akima's minima."""
    figures = procedures.porian(data, "published_fits").set_index("config")["a"]
    for config, value in figures.items():
        default = fit_isoflop(procedures.porian_runs(data, str(config)), FitOptions(minimum="akima"))
        assert default.params is not None
        low, high = corrected_interval(default.params["a"], 0.95)
        recipe = str(config).removeprefix("rw_").replace("_", " ")
        yield Comparison(
            f"RefinedWeb (Porian 2024), {recipe}",
            "exponent of N*",
            float(value),
            procedures.porian_fit(data, str(config)).params["a"],
            (float(default.params["a"][0]), float(low), float(high)),
        )


def gadre(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Gadre 2024: least squares on five runs; the default takes all runs of the data set."""
    runs = procedures.gadre(data, "c4_original")
    default = fits["Over-training, all runs on C4"] = procedures.gadre_loss_fit(runs, "huber-log")
    procedure = procedures.gadre_loss_fit(procedures.gadre_five(runs), "mse")
    yield from compare_parameters("over-training on C4 (Gadre 2024)", GADRE, procedure, default)
    runs = procedures.gadre(data, "rpj")
    loss = procedures.gadre_loss_fit(procedures.gadre_five(runs), "mse")
    six = procedures.gadre_six(runs)
    tasks = fit({"L": six["loss_c4_val"], "Err": six["err_avg_subset"]}, "error", FitOptions(bootstrap=100))
    for (model, ratio), (loss_error, task_error) in GADRE_ERRORS.items():
        run = runs[(runs["model"] == model) & (runs["token_multiplier"] == ratio)].iloc[0]
        L = float(loss.predict(C=run["flops_6nd"], M=ratio))
        name = f"RedPajama (Gadre 2024), {model} at {ratio} tokens per parameter"
        yield Comparison(name, "error of the loss, %", loss_error, 100 * abs(L / run["loss_c4_val"] - 1))
        predicted = 100 * abs(float(tasks.predict(L=L)) / run["err_avg_subset"] - 1)
        yield Comparison(name, "error of the mean task error, %", task_error, predicted)


def muennighoff(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Muennighoff 2023: the minimum next to the authors' start; the default is the lowest of several."""
    fixed = procedures.MUENNIGHOFF_FIXED
    procedure = procedures.muennighoff_fit(data, fix=fixed, start={"RD_star": 15.0, "RN_star": 5.0})
    default = fits["Repeated data"] = procedures.muennighoff_fit(data, fix=fixed)
    yield from compare_parameters("repeated data (Muennighoff 2023)", MUENNIGHOFF, procedure, default)


def clark(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Clark 2022: least squares of log10 L; the default is Huber's loss."""
    default = fits["Hash routing"] = procedures.clark_fit(data, "routing")
    procedure = procedures.clark_fit(data, "routing", objective="mse-log")
    yield from compare_parameters("hash routing (Clark 2022)", CLARK, procedure, default)


def caballero(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Caballero 2023: least squares of ln(1 + L) on 14 points."""
    default = fits["Broken power law"] = procedures.addition_fit(data, None)
    procedure = procedures.addition_fit(data)
    yield from compare_parameters("four-digit addition (Caballero 2023)", CABALLERO, procedure, default)


def alabdulmohsin(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Alabdulmohsin 2022: errors of M1 to M4 at twice the examples, by the authors' code; M1 is by least squares."""
    table = pd.read_csv(data / "alabdulmohsin2022" / "reference_m1_m4.csv")
    figures = table[table["domain"] == "NMT"].groupby("method")["rmsle"].mean()
    for method, value in figures.items():
        law = str(method).lower()
        procedure = float(np.mean(procedures.alabdulmohsin_errors(data, law, "mse-log"))) if law == "m1" else None
        default = float(np.mean(procedures.alabdulmohsin_errors(data, law)))
        name = "translation (Alabdulmohsin 2022)"
        yield Comparison(name, f"mean error of {method}, 5 curves", float(value), procedure, default)


def olmo(data: Path, fits: Fits) -> Iterator[Comparison]:
    """OLMo ladder 2024: the authors' procedure is the default; the interval is that of the law."""
    table = pd.read_csv(data / "olmo_ladder2024" / "published_13B_predictions.csv")
    chained = table[table["stage"] == "chained_main"].set_index("Task")
    for task in OLMO:
        result = procedures.olmo_fit(data, task, bootstrap=300)
        value = float(result.predict(**procedures.OLMO_TARGET))
        low, high = (float(np.ravel(end)[0]) for end in result.predict_interval(**procedures.OLMO_TARGET))
        text, actual = (float(chained[column][task]) for column in ("Pred", "Actual"))
        name = f"OLMo ladder 2024, {task.partition('_')[0]} at 13B"
        yield Comparison(name, f"accuracy (measured {actual:.4f})", text, value, (value, low, high))


def ruan(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Ruan 2024: the authors' procedure is the default."""
    options = ObservationalOptions(full=10, holdout='col("ABench-OA")>2.45', bootstrap=100)
    result = fit_observational(procedures.ruan(data), procedures.RUAN_SCORES, "ABench-OA", options)
    errors = (result.train_error, result.held_out_error)
    for (part, value), error in zip(RUAN.items(), errors, strict=True):
        yield Comparison(f"observational law (Ruan 2024), {part}", "mean squared error", value, error)


def luo(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Luo 2025: R² of the unseen schedules at the published parameters; the default fits the three training curves."""
    curves = procedures.luo(data)
    train, test = (curves[curves["split"] == split] for split in ("train", "test"))
    default = fits["Multi-power law"] = fit(
        train[["step", "lr", "curve", "loss"]], "multi-power", FitOptions(bootstrap=100)
    )
    values = [
        procedures.luo_errors(test, "multi-power", parameters)["R2"]
        for parameters in (procedures.LUO_PARAMETERS, default.params)
    ]
    yield Comparison("multi-power law (Luo 2025)", "R² of unseen schedules", LUO_R2, *values)


def oellm(data: Path, fits: Fits) -> Iterator[Comparison]:
    """OpenEuroLLM 2026: least squares of ln lr over 45 optima; the default is Huber's loss."""
    default = fits["Learning rates at optima"] = procedures.oellm_fit(data)
    procedure = procedures.oellm_fit(data, objective="mse-log")
    yield from compare_parameters("tuned learning rates (OpenEuroLLM 2026)", OELLM, procedure, default)


def beck(data: Path, fits: Fits) -> Iterator[Comparison]:
    """Beck 2025: parabolas with equal weights; the default weighs minima by their errors."""
    for context, value in BECK.items():
        points = procedures.beck_runs(data, context)
        procedure = fit(points, "chinchilla-2", FitOptions(weighting="equal", bootstrap=100))
        default = fits[f"Llama at a context of {context:,}"] = fit(points, "chinchilla-2")
        name = f"Llama at a context of {context:,} (Beck 2025)"
        yield Comparison(name, "exponent of N*", value, procedure.params["a"], with_interval(default, "a"))


PROBLEMS: dict[str, Callable[[Path, Fits], Iterator[Comparison]]] = {  # by data set of the manifest
    "besiroglu2024_chinchilla": chinchilla,
    "llama3_isoflop": llama3,
    "porian2024_refinedweb": porian,
    "gadre2024_c4_rpj": gadre,
    "muennighoff2023": muennighoff,
    "clark2022_dense_hash": clark,
    "bnsl2023": caballero,
    "alabdulmohsin2022": alabdulmohsin,
    "olmo_ladder2024": olmo,
    "obsscaling2024_agentbench": ruan,
    "mpl2025_25M": luo,
    "oellm2026_optima": oellm,
    "xlstm2025_isoflop": beck,
}


def run_problem(name: str, data: Path) -> Outcome:
    """Runs the authors' procedure and the defaults on a data set.

    Args:
        name: A key of `PROBLEMS`.
        data: Folder of the data sets.

    Raises:
        DataError: The files cannot be read.
        FitError: A fit is not possible.
    """
    began = time.monotonic()
    fits: Fits = {}
    comparisons = list(PROBLEMS[name](data, fits))
    return Outcome(name, comparisons, fits, time.monotonic() - began)
