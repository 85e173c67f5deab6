"""Verdicts over scale: planted truths are called what they are, and what cannot be told is said so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import isotonic_regression

from analysis.__main__ import main
from analysis.errors import DataError
from analysis.evals import changepoint, emergence, series, tasks, verdict
from analysis.evals.options import EmergenceOptions
from analysis.evals.verdict import ARTEFACT, BREAK, INCONCLUSIVE, SMOOTH
from analysis.studies.simulations import simulated_tasks
from tests.support import items_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return items_store.build(tmp_path_factory.mktemp("emergence") / "store").root


@pytest.fixture(scope="module")
def study(store: Path) -> emergence.EmergenceStudy:
    return emergence.emergence_study(store)


@pytest.mark.parametrize("name", simulated_tasks.TRUTHS)
def test_planted_truths_are_found(name: str) -> None:
    """A few of each; test_planted_truths_are_found_in_95_of_100 has the rates."""
    make, (fewest, largest), right = simulated_tasks.TRUTHS[name]
    for i in range(4):
        rng = np.random.default_rng([5, i])
        truth = make(rng, int(rng.integers(fewest, largest + 1)))
        assert (
            verdict.judge_emergence(*simulated_tasks.simulate_measurements(truth, rng, 200, 1, 0.05)).verdict == right
        )


@pytest.mark.slow
def test_planted_truths_are_found_in_95_of_100() -> None:
    counts = simulated_tasks.verdict_counts()
    for name, (_, _, right) in simulated_tasks.TRUTHS.items():
        assert counts[name][right] >= 95, (name, counts[name])


def test_the_kth_power_of_a_smooth_share_is_an_artefact_and_the_share_itself_is_not() -> None:
    """Schaeffer 2023: nothing differs between the two but the metric."""
    x = np.linspace(18, 21, 10)
    p = 1 / (1 + np.exp(-np.linspace(-2.2, 3, 10)))
    logp = series.mean_series(x, np.log(p), np.full(10, 1e-4))
    for k, message in ((1, SMOOTH), (5, ARTEFACT)):
        assert (
            verdict.judge_emergence(series.binomial_series(x, np.round(400 * p**k), np.full(10, 400.0)), logp).verdict
            == message
        )


def test_a_break_has_its_change_point_where_it_was_planted() -> None:
    inside = 0
    for i in range(20):
        rng = np.random.default_rng(i)
        x = np.linspace(18, 21, 9)
        z = np.where(x > 19.6, 2.5, -1.5) + 0.1 * (x - 18)
        judgement = verdict.judge_emergence(
            *simulated_tasks.simulate_measurements(simulated_tasks.Truth(x, z, 3), rng, 300, 1, 0.05)
        )
        assert judgement.verdict == BREAK and judgement.score is not None and judgement.logp is not None
        low, high = judgement.score.interval
        inside += low - 1e-9 <= 19.6 <= high
        assert judgement.logp.window[0] <= 19.6 <= judgement.logp.window[1]
    assert inside >= 18


def test_a_log_probability_that_gave_no_sign_is_no_artefact() -> None:
    """Both leave their floor at one place and then rise over more than a decade: no jump, and no warning either."""
    x = np.linspace(18, 22, 12)
    rise = np.maximum(x - 20.2, 0) / 1.8
    score = series.binomial_series(x, np.round(500 * (0.01 + 0.7 * rise)), np.full(12, 500.0))
    logp = series.mean_series(x, -2.3 + 2 * rise, np.full(12, 1e-3))
    judgement = verdict.judge_emergence(score, logp)
    assert judgement.verdict == BREAK and judgement.logp_before is not None and judgement.logp_before < 0.25


@pytest.mark.parametrize(
    ("scales", "score", "logp", "code"),
    [
        (5, lambda t: t**4, lambda t: t, "few"),
        (9, lambda t: 0 * t + 0.02, lambda t: t, "floor"),
        (9, lambda t: t**4, lambda t: 0 * t, "logp-flat"),
        (9, lambda t: t**4, None, "score-only"),
        (9, lambda t: t, lambda t: (t > 0.5) + 0.1 * t, "disagree"),
    ],
)
def test_what_cannot_be_told_is_said(scales: int, score: object, logp: object, code: str) -> None:
    rng = np.random.default_rng(3)
    t = np.linspace(0.1, 0.9, scales)
    hits = rng.binomial(300, score(t))  # type: ignore[operator]
    first = series.binomial_series(18 + 3 * t, hits, np.full(scales, 300))
    noise = 0.02 * rng.standard_normal(scales)
    second = None if logp is None else series.mean_series(18 + 3 * t, logp(t) + noise, np.full(scales, 4e-4))  # type: ignore[operator]
    judgement = verdict.judge_emergence(first, second)
    assert judgement.verdict == INCONCLUSIVE and judgement.codes == (code,)


def test_curves_that_never_fall_are_the_nearest_ones() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, weight = rng.normal(size=(3, 9)), rng.uniform(0.1, 3, 9)
        result = series.isotonic_regression(y, weight)
        assert np.allclose(result, [isotonic_regression(row, weights=weight).x for row in y])


@pytest.mark.slow
def test_flat_noise_rises_no_oftener_than_it_should() -> None:
    """p of a rise, and of a hinge under a straight line, are p: 5% of nulls lie below 0.05, with noise between runs."""
    rng = np.random.default_rng(1)
    x = np.repeat(np.linspace(18, 21, 8), 3)
    flat, line = [], []
    for i in range(200):
        y = 0.05 * rng.standard_normal(24)  # five times what items would give
        for slope, result in ((0.0, flat), (0.3, line)):
            change = changepoint.sharpness(series.mean_series(x, slope * (x - 18) + y, np.full(24, 1e-4)), 0.5, seed=i)
            assert change is not None
            result.append(change.p_rise if not slope else change.p_hinge)
    assert np.mean(np.array(flat) < 0.05) < 0.09
    assert np.mean(np.array(line) < 0.05) < 0.09


def test_a_store_is_read_item_by_item(study: emergence.EmergenceStudy) -> None:
    text = {finding.task.name: finding.verdict.verdict for finding in study.findings}
    assert text == {"addition-4": ARTEFACT, "choice": SMOOTH, "switch": BREAK}
    finding = study.findings[0]
    assert finding.score is not None and finding.continuous is not None and finding.continuous.metric == "logp"
    assert len(finding.score.x) == len(items_store.BUDGETS) and (np.diff(finding.score.x) > 0).all()
    assert finding.score.x == pytest.approx(items_store.BUDGETS, rel=0.05)
    low, high = finding.score.interval.T
    assert (low <= finding.score.mean).all() and (finding.score.mean <= high).all() and low[0] == 0 < high[0]
    json.dumps(study.to_json(), allow_nan=False)


def test_a_task_without_the_chosen_score_names_the_metrics_that_it_has(store: Path) -> None:
    for finding in emergence.emergence_study(store, EmergenceOptions(score="accuracy-byte")).findings:
        if finding.verdict.codes == ("no-score",):
            assert finding.verdict.reason.endswith("its metrics are " + ", ".join(finding.task.measures))
            break
    else:
        pytest.fail("every task has this score")


def test_a_curve_over_loss_begins_at_the_worst(store: Path) -> None:
    finding = emergence.emergence_study(store, EmergenceOptions(x="L")).findings[0]
    assert (
        finding.score is not None
        and (np.diff(finding.score.x) < 0).all()
        and finding.score.mean[0] < finding.score.mean[-1]
    )


def test_metrics_of_a_store_agree_with_one_another(study: emergence.EmergenceStudy) -> None:
    task = study.findings[0].task
    result = task.measures
    assert result["logp-total"].mean == pytest.approx(4 * result["logp"].mean, rel=1e-12)
    assert result["pass@1"].mean == pytest.approx(result["exact"].mean, abs=0.1)
    assert (result["pass@10"].mean >= result["pass@1"].mean).all()
    low, high = result["logp"].interval.T
    half = 1.96 * np.sqrt(result["logp"].variance)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.slow
def test_predictions_at_a_target_contain_the_truth(store: Path) -> None:
    """The truth at twice the largest budget lies in the interval of each way."""
    options = EmergenceOptions(target={"C": 2e14}, bootstrap=100, score="exact", continuous="logp")
    predictions = emergence.emergence_study(store, options).findings[0].predictions
    truth = (1 / (1 + np.exp(3 - 6.3 * (np.log(2000) / np.log(1000))))) ** 4
    for way in ("sigmoid", "two-step"):
        low, high = predictions[way]["interval"]
        assert low - 0.03 <= truth <= high + 0.03 and high - low < 0.5  # of a new score: with binomial noise
    assert "failed" in predictions["broken"] or 0.7 < predictions["broken"]["value"] <= 1


def test_runs_that_less_compute_beats_are_left_out_whatever_their_score() -> None:
    runs = pd.DataFrame({"N": [1e5, 1e5, 4e5, 1e5, 4e5], "L": [3.0, 3.1, 2.9, 2.95, 2.5]})
    scale = np.array([0, 0, 0, 1, 1])

    def on_frontier(losses: list[float]) -> list[bool]:
        task = tasks.Task("t", "t", 1, 0, 0, runs.assign(L=losses), {})
        return list(emergence._frontier(task, scale, np.ones(5, bool)))

    assert on_frontier([3.0, 3.1, 2.9, 2.95, 2.5]) == [False, False, True, False, True]
    assert on_frontier([3.0, 3.1, 3.2, 2.95, 2.99]) == [True, True, False, True, False]  # both seeds of the first
    assert on_frontier([3.0, 3.1, 3.2, 3.3, 3.06]) == [True, True, False, False, False]
    assert on_frontier([3.0, 3.1, np.nan, 3.3, 3.06]) == [True] * 5


def test_somebody_elses_table_will_do(tmp_path: Path) -> None:
    x = np.geomspace(1e18, 1e21, 9)
    p = 1 / (1 + np.exp(-np.linspace(-2.5, 3.2, 9)))
    wide = pd.DataFrame({"task": "sum", "flops": x, "k": np.round(300 * p**5), "n": 300, "logp": np.log(p), "se": 0.02})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    long = pd.concat(
        [
            pd.DataFrame(
                {"task": "sum", "C": x, "metric": "exact_match", "score": np.round(300 * p**5) / 300, "n": 300}
            ),
            pd.DataFrame({"task": "sum", "C": x, "metric": "log_prob", "score": np.log(p), "n": 300, "se": 0.02}),
        ]
    )
    long.to_parquet(tmp_path / "long.parquet")
    for name in ("wide.csv", "long.parquet"):
        finding = emergence.emergence_study(tmp_path / name).findings[0]
        assert finding.verdict.verdict == ARTEFACT, finding.verdict
        assert finding.score is not None and finding.score.mean[-1] == pytest.approx(p[-1] ** 5, abs=0.01)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"C": [1e9], "other": [0.5]}, "no column of scores"),
        ({"task": ["a"], "score": [0.5], "n": [9]}, "no column of scale"),
        ({"C": [1e9], "score": [0.5]}, "need n, their number of items (or --items 1000), or se"),
        ({"C": [1e9], "score": [50.0], "n": [9]}, "from 0 to 1"),
        ({"C": [1e9], "k": [5]}, "needs a column n"),
        ({"C": [1e9], "score": [0.5], "n": [9], "metric": ["f1"]}, "metric 'f1': must be one of"),
        ({"C": ["big"], "score": [0.5], "n": [9]}, "row 1 (line 2), column C: 'big': allowed are finite numbers"),
    ],
)
def test_what_is_wrong_with_a_table_is_refused_in_one_line(
    tmp_path: Path, table: dict[str, list[object]], message: str
) -> None:
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError) as error:
        emergence.emergence_study(tmp_path / "t.csv")
    assert message in str(error.value) and "t.csv" in str(error.value) and "\n" not in str(error.value)


def test_the_command_says_what_it_found(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emergence", str(store), "--json", str(tmp_path / "e.json")]) == 0
    output = capsys.readouterr().out
    for words in ("addition-4: metric artefact: ", "switch: break: ", "choice: smooth: "):
        assert words in output
    result = {task["task"]: task for task in json.loads((tmp_path / "e.json").read_text())["tasks"]}
    assert result["switch"]["verdict"] == BREAK and result["choice"]["chance"] == 0.25
    assert result["choice"]["scales"]["accuracy"][0]["corrected"] < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--x", "Z"), "must be one of C, N, D, L"),
        (("--x", "C", "--target", "L=2"), "target L: allowed are C"),
        (("--target", "C=-2"), "must be greater than 0"),
        (("--score", "f1"), "metric 'f1': must be one of exact, accuracy"),
        (("--level", "2"), "level 2.0: must be between 0 and 1"),
        ((), "no run was evaluated on a task"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["emergence", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_simulation_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate-emergence", "--draws", "1", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["verdicts"]) == set(simulated_tasks.TRUTHS) and all(
        sum(v.values()) == 1 for v in result["verdicts"].values()
    )
