"""The authors' procedures on published data sets; `data` is the folder of the sets.

Key: N parameters, D tokens, C training FLOPs, L loss.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit

RUAN_SCORES = ["MMLU", "ARC-C", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K", "HumanEval"]
OLMO_TARGET = {"N": 13202396160, "D": 5000088518656}  # the 13B model of the OLMo ladder
CLARK_COLUMNS = {"N": "dense_parameter_count", "L": "loss_validation"}
CLARK_RUNS = "routing_frequency == 0.5 and k == 1 and seed == 42"
MUENNIGHOFF_FIXED = {  # the tied Chinchilla fit that Muennighoff 2023 keeps
    "E": math.exp(0.6254804),
    "A": math.exp(6.255414),
    "B": math.exp(7.3049974),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}
LUO_PARAMETERS = laws.LAWS["multi-power"].published[0].values  # Luo 2025, 25M parameters

BECK_VOCAB = 50304  # rows of the embedding of Beck 2025
BECK_BUDGETS = (6e18, 1e19, 3e19, 1e20)  # FLOPs
BECK_TOLERANCE = 0.05  # relative difference of the FLOPs of a run from its budget
BECK_LARGEST = 5e19  # FLOPs up to which the exponents are fitted


def chinchilla_240(data: Path) -> Points:
    """The points of Hoffmann 2022 that Besiroglu 2024 fits."""
    return load(
        data / "besiroglu2024_chinchilla" / "chinchilla_points_245.csv",
        options=ReadOptions(where="not excluded_in_paper"),
    )


def porian(data: Path, name: str) -> pd.DataFrame:
    """A table of Porian 2024."""
    return pd.read_csv(data / "porian2024_refinedweb" / f"{name}.csv")


def porian_runs(data: Path, config: str) -> Points:
    """The isoFLOP runs of a recipe of Porian 2024."""
    runs = porian(data, "isoflop_points")
    runs = runs[runs["config"] == config].rename(columns={"flops": "budget"})
    return load(runs[["budget", "params", "tokens", "loss"]])


def porian_fit(data: Path, config: str) -> Fit:
    """The authors' procedure: least squares of ln N* on ln C, weighted by 1/std² of the minima."""
    table = porian(data, "optimal_points")
    table = table[(table["config"] == config) & (table["n_valid_bootstrap"] > 0)]
    table = table.assign(weight=1 / table["n_opt_log_std"] ** 2)
    columns = {"C": "flops", "Nopt": "n_opt_bs_median", "weight": "weight"}
    return fit(table, "optimal-n", FitOptions(bootstrap=400), reading=ReadOptions(columns=columns))


def gadre(data: Path, dataset: str) -> pd.DataFrame:
    """The runs of Gadre 2024 on a data set."""
    runs = pd.read_csv(data / "gadre2024_c4_rpj" / "runs.csv")
    return runs[runs["dataset"] == dataset]


def gadre_five(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that Gadre 2024 fits to: four sizes at 20 tokens a parameter, the smallest at 320 as well."""
    small = runs["model"].str.match("d=(96|512|576|1024)_")
    shortest = (runs["token_multiplier"] == 320) & runs["model"].str.startswith("d=96_")
    return runs[(small & (runs["token_multiplier"] == 20)) | shortest]


def gadre_six(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs to which Gadre 2024 fits errors: those of the loss, and the 1.4B run."""
    return pd.concat([gadre_five(runs), runs[(runs["model"] == "open_lm_1b") & (runs["token_multiplier"] == 20)]])


def gadre_loss_fit(runs: pd.DataFrame, objective: str) -> Fit:
    """The over-training law; the authors' objective is "mse"."""
    arrays = {"C": runs["flops_6nd"], "M": runs["token_multiplier"], "L": runs["loss_c4_val"]}
    return fit(arrays, "over-training", FitOptions(objective=objective, bootstrap=100))


def muennighoff_fit(data: Path, **options: Any) -> Fit:
    """The data-constrained law on the 182 runs of Muennighoff 2023."""
    source = data / "muennighoff2023" / "runs_c4_182.csv"
    return fit(source, "data-constrained", FitOptions(bootstrap=100, **options))


def clark_fit(data: Path, law: str, where: str = CLARK_RUNS, **options: Any) -> Fit:
    """A law on the runs of Clark 2022; the authors' objective is "mse-log"."""
    source = data / "clark2022_dense_hash" / "final_step.csv"
    return fit(source, law, FitOptions(**options), reading=ReadOptions(columns=CLARK_COLUMNS, where=where))


def addition_curve(data: Path) -> pd.DataFrame:
    """Four-digit addition of Caballero 2023, figure 4; `used_for_fit` is 1 for the 14 points that are fitted."""
    frame = pd.read_csv(data / "bnsl2023" / "four_digit_addition.csv")
    return frame.rename(columns={"train_set_size": "x", "test_cross_entropy": "L"})


def addition_fit(data: Path, objective: str | None = "mse-log1p") -> Fit:
    """The broken power law on the points that Caballero 2023 fits; the authors' objective is "mse-log1p"."""
    frame = addition_curve(data)
    points = frame[frame["used_for_fit"] == 1][["x", "L"]]
    return fit(points, "bnsl", FitOptions(objective=objective, bootstrap=100))


def olmo_fit(data: Path, task: str, suffix: str = "bpb", **options: Any) -> Fit:
    """The two steps of the OLMo ladder 2024 for a task."""
    columns = {"N": "n_params_nonemb", "D": "tokens", "L": f"{task}:{suffix}", "Acc": f"{task}:rc_acc"}
    reading = ReadOptions(columns=columns, where="mode=='train'", run_columns=("model", "length"))
    source = data / "olmo_ladder2024" / "checkpoints.csv"
    return fit(source, "two-step", FitOptions(**{"bootstrap": 100, **options}), reading=reading)


def ruan(data: Path) -> pd.DataFrame:
    """Benchmark scores and AgentBench scores of the models of Ruan 2024."""
    folder = data / "obsscaling2024_agentbench"
    scores = pd.read_csv(folder / "instruct_llm_benchmark_eval.csv")
    return scores.merge(pd.read_csv(folder / "agentbench_eval.csv"), on="Model")


def luo(data: Path) -> pd.DataFrame:
    """Luo 2025's curves of 25M parameters, without the rows after the end of those of 24,000 steps."""
    frame = pd.read_csv(data / "mpl2025_25M" / "loss_curves.csv")
    return frame[~(frame["curve"].str.endswith("24000") & (frame["step"] >= 24000))]


def luo_errors(frame: pd.DataFrame, law: str, params: dict[str, float]) -> dict[str, float]:
    """Means over curves, as Luo 2025 reports: R², and absolute, root mean square, relative and worst relative error."""
    code = pd.factorize(frame["curve"])[0] + 1.0
    step, lr = (frame[name].to_numpy(np.float64) for name in ("step", "lr"))
    error = np.ravel(laws.LAWS[law].function(step, lr, code, **params)) - frame["loss"]
    rows = []
    for _, at in frame.groupby("curve").indices.items():
        e, y = error.iloc[at], frame["loss"].iloc[at]
        relative = np.abs(e) / y
        r2 = 1 - np.sum(e**2) / np.sum((y - y.mean()) ** 2)
        rows.append((r2, np.abs(e).mean(), np.sqrt(np.mean(e**2)), relative.mean(), relative.max()))
    return dict(zip(("R2", "MAE", "RMSE", "PredE", "WorstE"), np.mean(rows, 0), strict=True))


def alabdulmohsin_errors(data: Path, law: str, objective: str | None = None) -> list[float]:
    """Root mean squared differences of ln L on the points that are extrapolated, of each translation curve.

    Args:
        data: Folder of the sets.
        law: M1 to M4 (m1, ...), or another law of one input.
        objective: Objective of the fits; None is the default.
    """
    frame = pd.read_csv(data / "alabdulmohsin2022" / "lang_nmt.csv")
    errors = []
    for _, curve in frame.groupby("Model"):
        fitted, new = (curve[curve["Training"] == part] for part in (1, 0))
        arrays = {"x": fitted["Seen Examples"], "L": fitted["Loss"]}
        result = fit(arrays, law, FitOptions(objective=objective, bootstrap=100))
        predicted = result.predict(x=new["Seen Examples"].to_numpy())
        errors.append(float(np.sqrt(np.mean((np.log(predicted) - np.log(new["Loss"].to_numpy())) ** 2))))
    return errors


def oellm_fit(data: Path, **options: Any) -> Fit:
    """The learning rate at the optima of OpenEuroLLM 2026 below 1.7B; the authors' objective is "mse-log"."""
    source = data / "oellm2026_optima" / "lr_gbsz_min_smooth.csv"
    return fit(source, "step-law-lr", FitOptions(**options), reading=ReadOptions(where="N < 1.7e9"))


def beck_runs(data: Path, context: int) -> Points:
    """The isoFLOP runs of Llama of Beck 2025 at a context; C counts causal attention and no embeddings."""
    runs = pd.read_csv(data / "xlstm2025_isoflop" / "runs_llama.csv")
    runs = runs[runs["ctx"] == context]
    inner = runs["params"] - BECK_VOCAB * runs["width"]
    C = 3 * runs["tokens"] * (2 * inner + 2 * context * runs["width"] * runs["blocks"])
    budget = np.array(BECK_BUDGETS)[np.abs(np.log(C.to_numpy()[:, None] / BECK_BUDGETS)).argmin(axis=1)]
    near = np.abs(C / budget - 1) <= BECK_TOLERANCE
    table = pd.DataFrame({"budget": budget, "C": C, "N": runs["params"], "D": runs["tokens"], "L": runs["val_loss"]})
    return load(table[near & (table["C"] < BECK_LARGEST)])
