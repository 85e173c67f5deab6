"""Tasks: error and accuracy from a loss, in one step, in two, and from other scores."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting import two_step
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.loss import chinchilla
from analysis.studies.published.procedures import OLMO_TARGET, olmo_fit
from tests.support.commands import PUBLISHED, call_command

DATA = PUBLISHED
published = pytest.mark.skipif(not DATA.is_dir(), reason="published sets are not here (../shared/data)")
OLMO = DATA / "olmo_ladder2024"
STEP_1 = {"E": 0.6, "A": 40.0, "B": 100.0, "alpha": 0.25, "beta": 0.28}
STEP_2 = {"a": -0.7, "k": 4.5, "L0": 0.9, "b": 0.95}


@pytest.mark.parametrize(
    "true",
    [
        {"epsilon": 0.85, "k": 2.1, "gamma": 0.76},
        {"epsilon": 0.6, "k": 30.0, "gamma": 2.0},
        {"epsilon": 0.9, "k": 0.7, "gamma": 0.15},
    ],
)
def test_error_comes_back(true: dict[str, float]) -> None:
    L = np.linspace(2.4, 5.5, 12)
    fitted = fit({"L": L, "Err": laws.LAWS["error"].function(L, **true)}, "error", FitOptions(bootstrap=100))
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-7
    assert fitted.verdict == ("converged",)


@pytest.mark.parametrize(
    "true",
    [
        {"a": -0.7, "k": 4.5, "L0": 0.9, "b": 0.95},
        {"a": -0.4, "k": 12.0, "L0": 0.7, "b": 0.8},
        {"a": -0.25, "k": 1.5, "L0": 2.5, "b": 0.6},
    ],
)
def test_sigmoid_comes_back(true: dict[str, float]) -> None:
    L = np.linspace(0.3, 1.6, 25) * (2 if true["L0"] > 2 else 1)
    fitted = fit({"L": L, "Acc": laws.LAWS["sigmoid"].function(L, **true)}, "sigmoid", FitOptions(bootstrap=100))
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-7


def ladder(noise: float = 0.0, seed: int = 0) -> Points:
    """Sizes × lengths, a row a run."""
    rng = np.random.default_rng(seed)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(2e8, 1.3e9, 5), np.geomspace(4e9, 2.5e11, 5)))
    L = chinchilla.chinchilla(N, D, **STEP_1) * np.exp(noise * rng.standard_normal(25))
    acc = laws.LAWS["sigmoid"].function(L, **STEP_2) + noise * rng.standard_normal(25)
    return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(25)], extra={"Acc": acc})


def test_two_steps_come_back_and_chain() -> None:
    fitted = fit(ladder(), "two-step", FitOptions(ideal_point=False, bootstrap=100))
    for name, value in {**STEP_1, **STEP_2}.items():
        assert abs(fitted.params[name] / value - 1) < 1e-7
    chained = laws.LAWS["sigmoid"].function(chinchilla.chinchilla(1e10, 1e12, **STEP_1), **STEP_2)
    assert fitted.predict(N=1e10, D=1e12) == pytest.approx(chained, rel=1e-9)
    assert fitted.verdict == ("converged",) and list(fitted.params) == list(laws.LAWS["two-step"].parameters)


@pytest.mark.slow
def test_an_interval_of_the_chain_is_through_both_steps() -> None:
    points = ladder(0.004)
    both = fit(points, "two-step", FitOptions(bootstrap=300))
    loss = fit(points, "chinchilla", FitOptions(bootstrap=300))
    step_1, step_2 = ({k: both.params[k] for k in step} for step in (STEP_1, STEP_2))
    sigmoid = laws.LAWS["sigmoid"].function
    first = sigmoid(loss.predict_samples(**OLMO_TARGET), **step_2)  # doubt about the loss alone
    second = sigmoid(chinchilla.chinchilla(**OLMO_TARGET, **step_1), **{k: both.samples[k] for k in STEP_2})
    widths = [np.ptp(np.quantile(x, [0.025, 0.975])) for x in (first, second)]
    assert np.hypot(*widths) == pytest.approx(np.ptp(both.predict_interval(**OLMO_TARGET)), rel=0.15)
    assert min(widths) > 0.5 * max(widths)  # neither is the other's shadow
    assert abs(np.corrcoef(both.samples["alpha"], both.samples["k"])[0, 1]) < 0.25


@pytest.mark.long
def test_the_interval_of_the_chain_covers() -> None:
    """Nominal 95%, 200 ladders of 25 runs with noise in both steps, ten times beyond the largest; ±1.5% is chance."""
    truth = laws.LAWS["two-step"].function(1e10, 2e12, **STEP_1, **STEP_2)
    inside = 0
    for seed in range(200):
        low, high = fit(ladder(0.004, seed), "two-step", FitOptions(ideal_point=False, bootstrap=300)).predict_interval(
            N=1e10, D=2e12
        )
        inside += int(low <= truth <= high)
    assert 0.91 <= inside / 200 <= 0.985


def checkpoints() -> Points:
    """Two runs of 20 checkpoints, listed in no order."""
    step = np.tile(np.arange(1, 21), 2).astype(float)
    order = np.random.default_rng(1).permutation(40)
    L, acc = 4 - step / 10, step / 40
    runs = [f"run {i // 20}" for i in range(40)]
    points = Points(np.repeat([1e8, 2e8], 20), step * 1e8, np.ones(40), L, runs, runs=runs, extra={"Acc": acc})
    return points.select(order)


def test_a_run_ends_at_the_mean_of_its_last_checkpoints() -> None:
    ends = two_step.final_checkpoints(checkpoints(), last=5)
    assert sorted(ends.names) == ["run 0", "run 1"]
    assert np.allclose(ends.D, 20e8) and np.allclose(ends.L, 4 - 1.8) and np.allclose(ends["Acc"], 18 / 40)


def test_checkpoints_are_averaged_with_those_before_them_in_their_run() -> None:
    smooth = two_step.smoothed_checkpoints(
        checkpoints(), drop=0.11, window=5
    )  # 2.2 of 20: the first three are left out
    data = smooth.select(np.array(smooth.runs) == "run 1")
    assert len(data) == 17 and np.allclose(data.D, np.arange(4, 21) * 1e8)
    steps = [[k for k in range(end - 4, end + 1) if k >= 4] for end in range(4, 21)]
    assert np.allclose(data["Acc"], [np.mean(k) / 40 for k in steps])
    assert np.allclose(data.L, [4 - np.mean(k) / 10 for k in steps])


def test_the_ideal_point_is_in_every_draw() -> None:
    points = two_step.with_ideal_point(ladder(0.004))
    assert points.L[-1] == 0 and points["Acc"][-1] == 1
    assert points.budgets is not None and (points.budgets == points.budgets[-1]).sum() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Acc": np.full(25, 50.0)}, "from 0 to 1"),
        ({"Acc": np.full(25, np.nan)}, "needs Acc"),
    ],
)
def test_what_is_no_accuracy_is_said(change: dict[str, np.ndarray], message: str) -> None:
    data = ladder()
    points = Points(data.N, data.D, data.C, data.L, data.names, extra=change)
    with pytest.raises(FitError, match=message):
        fit(points, "two-step", FitOptions(bootstrap=100))


def test_options_of_one_law_are_not_those_of_two_steps() -> None:
    with pytest.raises(DataError, match="fix: options do not apply to two-step"):
        fit(ladder(), "two-step", FitOptions(fix={"E": 1.0}))


FITTED = {
    "mmlu_avg_test_5shot": (38.07, 100.08, 0.2262, 0.2361, 0.4541),
    "hellaswag_val_5shot": (11.23, 60.37, 0.1955, 0.2565, 0.5019),
    "piqa_val_5shot": (405.6, 10.16, 0.3978, 0.1533, 0.7217),
    "arc_easy_test_5shot": (79416, 3957.5, 0.6610, 0.4195, 0.5582),
}
FAST_TASK = "arc_easy_test_5shot"
TASKS = [pytest.param(task, marks=() if task == FAST_TASK else pytest.mark.slow) for task in FITTED]


@published
@pytest.mark.parametrize("task", TASKS)
def test_olmo_ladder_2024(task: str) -> None:
    """Their procedure is our default here: both steps and the chain, to the digits that their repository prints."""
    table = pd.read_csv(OLMO / "published_13B_predictions.csv").set_index(["stage", "Task"])["Pred"]
    actual = pd.read_csv(OLMO / "published_13B_predictions.csv").set_index(["stage", "Task"])["Actual"]
    fitted = olmo_fit(DATA, task)
    named = [fitted.params[k] for k in ("A", "B", "alpha", "beta", "E")]
    assert named == pytest.approx(FITTED[task], rel=3e-4)
    loss = chinchilla.chinchilla(OLMO_TARGET["N"], OLMO_TARGET["D"], **{k: fitted.params[k] for k in STEP_1})
    assert loss == pytest.approx(table["step1_main", task], abs=1e-5)
    step_2 = laws.LAWS["sigmoid"].function(actual["step1_main", task], **{k: fitted.params[k] for k in STEP_2})
    assert step_2 == pytest.approx(table["step2_main", task], abs=1e-5)
    assert fitted.predict(**OLMO_TARGET) == pytest.approx(table["chained_main", task], abs=1e-5)
    low, high = fitted.predict_interval(**OLMO_TARGET)
    assert low < table["chained_main", task] < high


AT_LEAST_1 = laws.Law(
    chinchilla.chinchilla,
    "Chinchilla's form with ln A and ln B at least 0",
    {"E": (0.3, 1.0), "A": (2.0, 50.0), "B": (2.0, 50.0), "alpha": (0.05, 0.2, 0.5), "beta": (0.05, 0.2, 0.5)},
    bounds={"A": (1.0, 1e80), "B": (1.0, 1e80), "alpha": (1e-3, 5.0), "beta": (1e-3, 5.0)},
)
BESIDE = {
    "mmlu_avg_test_5shot": {"E": 1.2, "A": 1.01, "B": 1.01, "alpha": 0.12, "beta": 0.1},
    "hellaswag_val_5shot": {"E": 0.0, "A": 1.55, "B": 1.0, "alpha": 0.0174, "beta": 0.0597},
}


@published
@pytest.mark.parametrize("task", TASKS)
def test_olmo_ladder_2024_from_the_choices_alone(task: str) -> None:
    """Their other task loss, over the answers' choices: the last checkpoint alone, no average.

    Their code keeps ln A and ln B at 0 or more, and on three of four tasks that decides; on two of those it stopped at
    a minimum that is not the lowest even so, and is found from beside it. Our own fit has no such bound and a lower
    objective there, with E at 0: it says so, and foretells up to 1% less loss.
    """
    table = pd.read_csv(OLMO / "published_13B_predictions.csv").set_index(["stage", "Task"])["Pred"]
    rows = pd.read_csv(OLMO / "checkpoints.csv").query("mode == 'train'")
    points = Points(
        *(rows[c].to_numpy(float) for c in ("n_params_nonemb", "tokens", "tokens", f"{task}:task_ce")),
        names=[f"{i}" for i in rows.index],
        runs=list(rows["model"] + rows["length"]),
        extra={"Acc": rows[f"{task}:rc_acc"].to_numpy(float)},
    )
    ends = two_step.final_checkpoints(points, last=1)
    published_fit, default_fit = (
        fit(ends, AT_LEAST_1, FitOptions(start=BESIDE.get(task, {}), bootstrap=100)),
        fit(ends, "chinchilla", FitOptions(bootstrap=100)),
    )
    text = table["step1_taskce_main", task]
    assert published_fit.predict(**OLMO_TARGET) == pytest.approx(text, abs=1e-5)
    if task == "arc_easy_test_5shot":
        assert default_fit.predict(**OLMO_TARGET) == pytest.approx(text, abs=1e-5)
    else:
        assert default_fit.objective["value"] < 0.95 * published_fit.objective["value"]
        assert "parameter-at-bound: E = 0" in default_fit.verdict[0]
        assert 0.98 * text < default_fit.predict(**OLMO_TARGET) < text
        assert any(line.startswith("parameter-at-bound") for line in published_fit.verdict)


@published
def test_the_command_chains_the_steps() -> None:
    task = "hellaswag_val_5shot"
    columns = f"N=n_params_nonemb,D=tokens,L={task}:bpb,Acc={task}:rc_acc"
    arguments = ["analysis", "fit", OLMO / "checkpoints.csv", "--law", "two-step", "--runs", "model,length"]
    arguments += ["--where", "mode=='train'", "--columns", columns, "--bootstrap", 100, "--json", "-"]
    done = call_command(*arguments, "--at", f"N={OLMO_TARGET['N']},D={OLMO_TARGET['D']}")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result["params"]) == set(laws.LAWS["two-step"].parameters)
    at = result["at"]
    assert at["value"] == pytest.approx(0.85304, abs=1e-4) and at["interval"][0] < at["value"] < at["interval"][1]
    assert [verdict.split(":")[0] for verdict in at["verdict"]] == ["extrapolation", "extrapolation"]
    arguments[6] = "nothing"
    wrong = call_command(*arguments)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "no column 'nothing'" in wrong.stderr
