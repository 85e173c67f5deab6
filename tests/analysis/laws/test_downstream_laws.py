"""Laws of tasks: error and accuracy from a loss, in one step, in two, and from other scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting import two_step
from analysis.fitting.fit import fit
from analysis.fitting.result import Fit
from analysis.laws.loss import chinchilla
from analysis.studies import components, observational
from tests.support.commands import PUBLISHED, command

DATA = PUBLISHED
published = pytest.mark.skipif(not DATA.is_dir(), reason="published sets are not here (../shared/data)")
OLMO, RUAN = DATA / "olmo_ladder2024", DATA / "obsscaling2024_agentbench"
TARGET = {"N": 13202396160, "D": 5000088518656}  # the 13B model of the OLMo ladder
STEP_1 = {"E": 0.6, "A": 40.0, "B": 100.0, "alpha": 0.25, "beta": 0.28}
STEP_2 = {"a": -0.7, "k": 4.5, "L0": 0.9, "b": 0.95}
SCORES = ["MMLU", "ARC-C", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K", "HumanEval"]


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
    found = fit({"L": L, "Err": laws.LAWS["error"].function(L, **true)}, "error", bootstrap=100)
    for name, value in true.items():
        assert abs(found.params[name] / value - 1) < 1e-7
    assert found.verdict == ("converged",)


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
    found = fit({"L": L, "Acc": laws.LAWS["sigmoid"].function(L, **true)}, "sigmoid", bootstrap=100)
    for name, value in true.items():
        assert abs(found.params[name] / value - 1) < 1e-7


def ladder(noise: float = 0.0, seed: int = 0) -> Points:
    """Sizes × lengths, a row a run."""
    rng = np.random.default_rng(seed)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(2e8, 1.3e9, 5), np.geomspace(4e9, 2.5e11, 5)))
    L = chinchilla.chinchilla(N, D, **STEP_1) * np.exp(noise * rng.standard_normal(25))
    acc = laws.LAWS["sigmoid"].function(L, **STEP_2) + noise * rng.standard_normal(25)
    return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(25)], more={"Acc": acc})


def test_two_steps_come_back_and_chain() -> None:
    found = fit(ladder(), "two-step", ideal=False, bootstrap=100)
    for name, value in {**STEP_1, **STEP_2}.items():
        assert abs(found.params[name] / value - 1) < 1e-7
    chained = laws.LAWS["sigmoid"].function(chinchilla.chinchilla(1e10, 1e12, **STEP_1), **STEP_2)
    assert found.predict(N=1e10, D=1e12) == pytest.approx(chained, rel=1e-9)
    assert found.verdict == ("converged",) and list(found.params) == list(laws.LAWS["two-step"].parameters)


def test_an_interval_of_the_chain_is_through_both_steps() -> None:
    points = ladder(0.004)
    both = fit(points, "two-step", bootstrap=300)
    loss = fit(points, "chinchilla", bootstrap=300)
    step_1, step_2 = ({k: both.params[k] for k in step} for step in (STEP_1, STEP_2))
    sigmoid = laws.LAWS["sigmoid"].function
    first = sigmoid(loss.predict_draws(**TARGET), **step_2)  # doubt about the loss alone
    second = sigmoid(chinchilla.chinchilla(**TARGET, **step_1), **{k: both.draws[k] for k in STEP_2})
    widths = [np.ptp(np.quantile(x, [0.025, 0.975])) for x in (first, second)]
    assert np.hypot(*widths) == pytest.approx(np.ptp(both.predict_interval(**TARGET)), rel=0.15)
    assert min(widths) > 0.5 * max(widths)  # neither is the other's shadow
    assert abs(np.corrcoef(both.draws["alpha"], both.draws["k"])[0, 1]) < 0.25


@pytest.mark.long
def test_the_interval_of_the_chain_covers() -> None:
    """Nominal 95%, 200 ladders of 25 runs with noise in both steps, ten times beyond the largest; ±1.5% is chance."""
    truth = laws.LAWS["two-step"].function(1e10, 2e12, **STEP_1, **STEP_2)
    inside = 0
    for seed in range(200):
        low, high = fit(ladder(0.004, seed), "two-step", ideal=False, bootstrap=300).predict_interval(N=1e10, D=2e12)
        inside += int(low <= truth <= high)
    assert 0.91 <= inside / 200 <= 0.985


def checkpoints() -> Points:
    """Two runs of 20 checkpoints, listed in no order."""
    step = np.tile(np.arange(1, 21), 2).astype(float)
    order = np.random.default_rng(1).permutation(40)
    L, acc = 4 - step / 10, step / 40
    runs = [f"run {i // 20}" for i in range(40)]
    points = Points(np.repeat([1e8, 2e8], 20), step * 1e8, np.ones(40), L, runs, groups=runs, more={"Acc": acc})
    return points.where(order)


def test_a_run_ends_at_the_mean_of_its_last_checkpoints() -> None:
    ends = two_step.finals(checkpoints(), last=5)
    assert sorted(ends.names) == ["run 0", "run 1"]
    assert np.allclose(ends.D, 20e8) and np.allclose(ends.L, 4 - 1.8) and np.allclose(ends["Acc"], 18 / 40)


def test_checkpoints_are_averaged_with_those_before_them_in_their_run() -> None:
    smooth = two_step.smoothed(checkpoints(), drop=0.11, window=5)  # 2.2 of 20: the first three are left out
    one = smooth.where(np.array(smooth.groups) == "run 1")
    assert len(one) == 17 and np.allclose(one.D, np.arange(4, 21) * 1e8)
    steps = [[k for k in range(end - 4, end + 1) if k >= 4] for end in range(4, 21)]
    assert np.allclose(one["Acc"], [np.mean(k) / 40 for k in steps])
    assert np.allclose(one.L, [4 - np.mean(k) / 10 for k in steps])


def test_the_ideal_point_is_in_every_draw() -> None:
    points = two_step.with_ideal(ladder(0.004))
    assert points.L[-1] == 0 and points["Acc"][-1] == 1
    assert points.budgets is not None and (points.budgets == points.budgets[-1]).sum() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Acc": np.full(25, 50.0)}, "from 0 to 1"),
        ({"Acc": np.full(25, np.nan)}, "needs Acc"),
    ],
)
def test_what_is_no_accuracy_is_said(change: dict[str, np.ndarray], said: str) -> None:
    one = ladder()
    points = Points(one.N, one.D, one.C, one.L, one.names, more=change)
    with pytest.raises(FitError, match=said):
        fit(points, "two-step", bootstrap=100)


def test_options_of_one_law_are_not_those_of_two_steps() -> None:
    with pytest.raises(FitError, match="fix: two-step takes none"):
        fit(ladder(), "two-step", fix={"E": 1.0})


def olmo(task: str, suffix: str = "bpb", **more: object) -> Fit:
    columns = {"N": "n_params_nonemb", "D": "tokens", "L": f"{task}:{suffix}", "Acc": f"{task}:rc_acc"}
    more = {"runs": ["model", "length"], "bootstrap": 100, **more}
    return fit(OLMO / "checkpoints.csv", "two-step", columns=columns, where="mode=='train'", **more)  # type: ignore[arg-type]


FITTED = {
    "mmlu_avg_test_5shot": (38.07, 100.08, 0.2262, 0.2361, 0.4541),
    "hellaswag_val_5shot": (11.23, 60.37, 0.1955, 0.2565, 0.5019),
    "piqa_val_5shot": (405.6, 10.16, 0.3978, 0.1533, 0.7217),
    "arc_easy_test_5shot": (79416, 3957.5, 0.6610, 0.4195, 0.5582),
}


@published
@pytest.mark.parametrize("task", FITTED)
def test_olmo_ladder_2024(task: str) -> None:
    """Their procedure is our default here: both steps and the chain, to the digits that their repository prints."""
    table = pd.read_csv(OLMO / "published_13B_predictions.csv").set_index(["stage", "Task"])["Pred"]
    actual = pd.read_csv(OLMO / "published_13B_predictions.csv").set_index(["stage", "Task"])["Actual"]
    found = olmo(task)
    named = [found.params[k] for k in ("A", "B", "alpha", "beta", "E")]
    assert named == pytest.approx(FITTED[task], rel=3e-4)
    loss = chinchilla.chinchilla(TARGET["N"], TARGET["D"], **{k: found.params[k] for k in STEP_1})
    assert loss == pytest.approx(table["step1_main", task], abs=1e-5)
    step_2 = laws.LAWS["sigmoid"].function(actual["step1_main", task], **{k: found.params[k] for k in STEP_2})
    assert step_2 == pytest.approx(table["step2_main", task], abs=1e-5)
    assert found.predict(**TARGET) == pytest.approx(table["chained_main", task], abs=1e-5)
    low, high = found.predict_interval(**TARGET)
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
@pytest.mark.parametrize("task", FITTED)
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
        groups=list(rows["model"] + rows["length"]),
        more={"Acc": rows[f"{task}:rc_acc"].to_numpy(float)},
    )
    ends = two_step.finals(points, last=1)
    theirs, ours = fit(ends, AT_LEAST_1, start=BESIDE.get(task), bootstrap=100), fit(ends, "chinchilla", bootstrap=100)
    said = table["step1_taskce_main", task]
    assert theirs.predict(**TARGET) == pytest.approx(said, abs=1e-5)
    if task == "arc_easy_test_5shot":
        assert ours.predict(**TARGET) == pytest.approx(said, abs=1e-5)
    else:
        assert ours.objective["value"] < 0.95 * theirs.objective["value"]
        assert "at-bound: E = 0" in ours.verdict[0] and 0.98 * said < ours.predict(**TARGET) < said
        assert any(one.startswith("at-bound") for one in theirs.verdict)


@published
def test_the_command_chains_the_steps() -> None:
    task = "hellaswag_val_5shot"
    columns = f"N=n_params_nonemb,D=tokens,L={task}:bpb,Acc={task}:rc_acc"
    given = ["analysis", "fit", OLMO / "checkpoints.csv", "--law", "two-step", "--runs", "model,length"]
    given += ["--where", "mode=='train'", "--columns", columns, "--bootstrap", 100, "--json", "-"]
    done = command(*given, "--at", f"N={TARGET['N']},D={TARGET['D']}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["params"]) == set(laws.LAWS["two-step"].parameters)
    at = told["at"]
    assert at["value"] == pytest.approx(0.85304, abs=1e-4) and at["interval"][0] < at["value"] < at["interval"][1]
    assert [said.split(":")[0] for said in at["verdict"]] == ["extrapolates", "extrapolates"]
    wrong = command(*given[:4], "chinchilla", "--runs", "model")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "--runs model" in wrong.stderr


def models(count: int = 40, gaps: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Scores that one ability moves, with a second one; a task that is a sigmoid of the first."""
    rng = np.random.default_rng(seed)
    ability, other = rng.uniform(-1, 1, count), rng.uniform(-1, 1, count)
    scores = 0.5 + np.outer(ability, [0.3, 0.25, 0.2, 0.15]) + np.outer(other, [0.05, -0.1, 0.02, 0.1])
    y = 0.95 / (1 + np.exp(-(4 * ability - 2))) + 0.05
    scores[rng.random(scores.shape) < gaps] = np.nan
    return pd.DataFrame(scores, columns=list("abcd")).assign(task=y, model=[f"m{i}" for i in range(count)])


def test_an_observational_law_comes_back() -> None:
    found = observational.fit(models(), scores=list("abcd"), target="task", components=2, bootstrap=100)
    assert found.fit.params["h"] == pytest.approx(0.95, rel=1e-7) and found.train < 1e-18 and found.held is None
    ability = np.linalg.pinv(np.array([[0.3, 0.25, 0.2, 0.15], [0.05, -0.1, 0.02, 0.1]]))[:, 0]
    assert np.allclose(list(found.weights.values()), 4 * ability, rtol=1e-6)
    assert found.components.share.sum() == pytest.approx(1)


def test_gaps_are_filled_with_what_the_components_say() -> None:
    whole = 0.5 + np.outer(np.linspace(-1, 1, 12), [0.3, 0.2, 0.1])
    gappy = whole.copy()
    gappy[[0, 3, 7], [1, 2, 0]] = np.nan
    held = np.array([[0.65, np.nan, 0.55]])
    filled, other = components.fill(gappy, held)
    # Standardising with gaps in it moves the line a little: near, not equal. What was there stays.
    assert np.allclose(filled, whole, atol=0.02) and np.array_equal(filled[~np.isnan(gappy)], whole[~np.isnan(gappy)])
    assert other[0, 1] == pytest.approx(0.6, abs=0.02) and other[0, 0] == 0.65
    beyond = components.fill(np.vstack([gappy, [2.0, np.nan, 0.9]]), held)[0]
    assert beyond[-1, 1] <= 1.0


def test_held_out_models_change_nothing_of_the_fit() -> None:
    frame = models(gaps=0.05)
    given = {"scores": list("abcd"), "target": "task", "bootstrap": 100, "components": 2}
    first = observational.fit(frame, holdout="task>0.8", **given)  # type: ignore[arg-type]
    changed = frame.assign(task=np.where(frame["task"] > 0.8, 0.81, frame["task"]))
    second = observational.fit(changed, holdout="task>0.8", **given)  # type: ignore[arg-type]
    assert first.fit.params == second.fit.params and first.held != second.held
    assert sum(row["held_out"] for row in first.rows) == int((frame["task"] > 0.8).sum()) > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": ["a"]}, "two different columns"),
        ({"scores": ["a", "zz"]}, "no column 'zz'"),
        ({"target": "model"}, "row 1, column model: 'm0' is not a number"),
        ({"full": 0.5}, "full marks are 0.5"),
        ({"components": 5}, "from 1 to 4"),
        ({"holdout": "zz>1"}, "no column 'zz'"),
    ],
)
def test_what_is_wrong_with_models_is_said_in_one_line(change: dict[str, object], said: str) -> None:
    given = {"scores": list("abcd"), "target": "task", "bootstrap": 100, **change}
    with pytest.raises(DataError, match=said) as error:
        observational.fit(models(), **given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def ruan() -> pd.DataFrame:
    scores = pd.read_csv(RUAN / "instruct_llm_benchmark_eval.csv")
    return scores.merge(pd.read_csv(RUAN / "agentbench_eval.csv"), on="Model")


@published
def test_ruan_2024_agents() -> None:
    """Their procedure is our default; held out are the two best of 22 (their top 10%).

    On the models fitted to, the mean squared error is theirs to all digits given. On the two others it is 0.03% below:
    it moves with the last digits of what is filled in for one of them.
    """
    found = observational.fit(
        ruan(), scores=SCORES, target="ABench-OA", full=10, holdout='col("ABench-OA")>2.45', bootstrap=100
    )
    assert found.train == pytest.approx(3.67833e-4, rel=2e-6)
    assert found.held == pytest.approx(2.24419e-4, rel=5e-4)
    assert found.fit.params["h"] == pytest.approx(0.99, abs=0.005)
    assert found.fit.starts["agreed"] == found.fit.starts["tried"]
    held = {row["name"]: row for row in found.rows if row["held_out"]}
    assert set(held) == {"gpt-4-0613", "claude-2.0"}
    assert all(row["interval"][0] < row["y"] < row["interval"][1] for row in held.values())


@published
def test_the_observational_command(tmp_path: Path) -> None:
    ruan().to_csv(tmp_path / "models.csv", index=False)
    given = ["analysis", "observational", tmp_path / "models.csv", "--scores", ",".join(SCORES), "--bootstrap", 100]
    given += ["--target", "ABench-OA", "--holdout", 'col("ABench-OA")>2.45']
    done = command(*given, "--full", 10, "--json", "-")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["error"]["train"] == pytest.approx(3.67833e-4, rel=2e-6)
    assert set(told["scores"]["weights"]) == set(SCORES) == set(told["scores"]["intervals"])
    assert "held out: gpt-4-0613" in command(*given, "--full", 10).stdout
    wrong = command(*given)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert "models.csv: row 1 (line 2), column ABench-OA: 4.01 is not from 0 to 1" in wrong.stderr
