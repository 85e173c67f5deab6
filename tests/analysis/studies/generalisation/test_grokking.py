"""Grokking and double descent: what was planted in a store's curves is found, and noise is not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.errors import DataError
from analysis.figures.options import FigureOptions
from analysis.figures.save import save_figure
from analysis.studies.generalisation import accuracy_curves
from analysis.studies.generalisation import double_descent as descents
from analysis.studies.generalisation.double_descent import (
    DOUBLE_DESCENT,
    INCONCLUSIVE,
    NO_DOUBLE_DESCENT,
    Profile,
    analyse_double_descent,
    find_peak,
)
from analysis.studies.generalisation.grokking import analyse_grokking
from scaling.config.run import RunConfig, override, run_id
from scaling.store.record import Record, Store
from sweeps.definitions.abilities.double_descent import double_descent as descent_sweep
from sweeps.definitions.abilities.grokking import grokking as grokking_sweep
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus

SUMS = Corpus(
    name="modular:p=47",
    tokens="a" * 64,
    vocab=48,
    train=1546 * 4,
    facts={"example": 4, "equations": 2209, "train": 1546},
)
STRINGS = Corpus(name="labels", tokens="b" * 64, vocab=18, train=4200, facts={"example": 7, "train": 600})


def put(store: Store, config: RunConfig, corpus: Corpus, rows: list[dict[str, float]], status: str = "done") -> None:
    """A run as the trainer leaves it."""
    about = {"corpus_facts": corpus.facts}
    store.write(Record(run_id=run_id(config), config=config, status=status, about=about))
    store.finish_curve(run_id(config), rows)


def curve(config: RunConfig, learned: float, generalised: float, every: int = 50) -> list[dict[str, float]]:
    """Accuracies that pass 0.99 at `learned` and 0.9 at `generalised` steps."""
    steps = range(every, config.steps + 1, every)
    return [
        {
            "step": step, "loss": 1.0, "val_loss": 1.0, "train_loss_fixed": 1.0,
            "train_accuracy": min(1.0, 0.99 * step / learned + 0.01 * (step > learned)),
            "val_accuracy": min(1.0, 0.9 * (step / generalised) ** 4),
        }
        for step in steps
    ]  # fmt: skip


@pytest.fixture(scope="module")
def grokked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shares of the data and three decays: generalising takes 2000 · (0.5 / f)² / decay steps, learning 200."""
    store, random = Store(tmp_path_factory.mktemp("grokked")), np.random.default_rng(0)
    for config in grokking_sweep(SUMS, fractions=(0.3, 0.4, 0.6), decays=(0.1, 1.0, 20.0)):
        assert config.data.unique is not None
        fraction = config.data.unique / 3 / 2209
        late = 2000 * (0.5 / fraction) ** 2 / config.optimizer.weight_decay * np.exp(0.05 * random.standard_normal())
        put(store, config, SUMS, curve(config, 200, max(200, late)))
    return store.root


def test_the_steps_that_were_planted_are_found(grokked: Path) -> None:
    result = analyse_grokking(grokked)
    assert len(result.cells) == 9
    for cell in result.cells:
        learned, late = cell.mean("train"), cell.mean("held_out")
        assert learned is not None and 199 < learned[0] <= 250
        truth = max(200, 2000 * (0.5 / cell.fraction) ** 2 / cell.decay)
        if truth > 8500:
            assert late is None and cell.verdict == "not generalised" and "generalised" in cell.to_json()
            continue
        assert late is not None and late[1] is not None
        assert late[0] == pytest.approx(truth, rel=0.25) and late[1][0] < late[0] <= late[1][1] * 1.001
        assert cell.verdict == ("grokking" if truth > 700 else "simultaneous"), truth
    assert result.longest_delay.fraction == pytest.approx(0.3, abs=0.001) and result.longest_delay.decay == 1
    [line] = result.verdict
    assert line.startswith("grokking in 3 of 9 cells: at fraction 0.3 and weight decay 1 each of 3 seeds")


def test_one_seed_says_no_interval_and_a_run_that_never_came_to_it_is_no_number(grokked: Path, tmp_path: Path) -> None:
    grokked = Path(shutil.copytree(grokked, tmp_path / "store"))
    store = Store(grokked)
    for record in list(store.records()):
        if record.config.seed:
            store.write(dataclasses.replace(record, status="failed"))
    result = analyse_grokking(grokked).to_json()
    assert all("interval" not in cell["learned"] and cell["seeds"] == [0] for cell in result["cells"])
    assert result["verdict"][0].startswith("inconclusive: at fraction 0.3 and weight decay 1 generalising took")
    late = [cell for cell in result["cells"] if cell["generalised"]["runs"] == 0]
    assert late and all("steps" not in cell["generalised"] and "ratio" not in cell for cell in late)


def test_the_grokking_command_prints_cells_and_verdict(grokked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grokking", str(grokked)]) == 0
    output = capsys.readouterr().out
    assert "0 of 3 seeds within 8,000" in output and "grokking in 3 of 9 cells" in output
    assert main(["grokking", str(grokked), "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["thresholds"] == {"learned": 0.99, "generalised": 0.9, "delay_ratio": 3.0} and len(data["cells"]) == 9
    assert main(["grokking", str(grokked), "--level", "2"]) == 2


@pytest.mark.parametrize("width", ["text", "column"])
def test_the_figure_shows_what_was_found(grokked: Path, tmp_path: Path, width: str) -> None:
    save_figure(str(grokked), "grokking", tmp_path / "g.png", FigureOptions(width=width))
    rows = (tmp_path / "g.data.csv").read_text()
    assert "training, seed 0" in rows and "held out, seed 2" in rows and "weight decay 20" in rows
    assert "(hollow)" in rows  # those that have not come to it


def test_a_store_without_such_runs_says_what_to_launch(tmp_path: Path, grokked: Path) -> None:
    Store(tmp_path / "empty").root.mkdir()
    for name in ("grokking", "double-descent"):
        with pytest.raises(DataError, match=f"no finished run with accuracies: .* launch {name}"):
            save_figure(str(tmp_path / "empty"), name, tmp_path / "g.png")
    with pytest.raises(DataError, match="not a store"):
        analyse_grokking(tmp_path / "nothing")
    grokked = Path(shutil.copytree(grokked, tmp_path / "store"))
    store = Store(grokked)
    config = override(next(store.records()).config, ["model.width=64", "model.mlp_width=256"])
    put(store, config, SUMS, curve(config, 200, 400))
    with pytest.raises(DataError, match="contains 2 sweeps, whose runs differ in more than"):
        analyse_grokking(grokked)


def test_a_sweep_asks_for_data_that_are_there() -> None:
    runs = grokking_sweep(SUMS, fractions=(0.4,), decays=(1.0,), seeds=2, seed=7)
    assert [run.seed for run in runs] == [7, 8] and {run.data.unique for run in runs} == {884 * 3}
    with pytest.raises(SweepError, match="1,546 of 2,209 equations for training"):
        grokking_sweep(SUMS, fractions=(0.8,))
    with pytest.raises(SweepError, match="corpus cpython: has no equations"):
        grokking_sweep(Corpus(name="cpython", tokens="c" * 64, vocab=257, train=1000))
    with pytest.raises(SweepError, match="labels has 600 examples"):
        descent_sweep(STRINGS, shares=(0.5, 1.5))
    with pytest.raises(SweepError, match="has no labelled examples"):
        descent_sweep(Corpus(name="cpython", tokens="c" * 64, vocab=257, train=1000))
    swept = descent_sweep(STRINGS, widths=(4, 8), shares=(0.5, 1.0), at=8, seeds=2)
    assert len({run_id(run) for run in swept}) == len(swept) == 6  # all of the data at width 8 is there already


# double descent

X = np.array([2.0, 4, 8, 16, 32, 64])
HUMP = np.array([0.6, 0.35, 0.3, 0.42, 0.33, 0.25])
FALL = np.array([0.6, 0.45, 0.38, 0.33, 0.30, 0.28])


def profile(means: np.ndarray, noise: float, seeds: int, seed: int, level: float = 0.95) -> Profile:
    errors = means + noise * np.random.default_rng(seed).standard_normal((seeds, len(means)))
    return Profile("width", "600 examples", X, errors, np.linspace(0.5, 0.0, len(X)) + 0 * errors, level)


def test_the_peak_stands_highest_over_both_its_shoulders() -> None:
    assert find_peak(HUMP) == (2, 3, 5)
    assert find_peak(np.array([0.1, 0.5, 0.2, 0.3, 0.0])) == (0, 1, 4)


def test_planted_peaks_are_seen_and_where_there_is_none_noise_is_not() -> None:
    """A peak of 12 points under noise of 2, four seeds; then a fall, and a plateau, under the same."""
    profiles = [profile(HUMP, 0.02, 4, i) for i in range(100)]
    assert sum(entry.verdict == DOUBLE_DESCENT for entry in profiles) >= 90
    assert all(entry.peak_position[0] == 16 for entry in profiles)
    for flat in (FALL, np.full(6, 0.3)):
        assert sum(profile(flat, 0.02, 4, i).verdict == DOUBLE_DESCENT for i in range(200)) <= 10
    covered = [entry.height[1][0] <= 0.12 <= entry.height[1][1] for entry in profiles if entry.height is not None]
    assert 88 <= sum(covered) <= 99


def test_no_peak_and_too_few_seeds_have_their_own_verdicts() -> None:
    assert profile(FALL, 0.0005, 4, 0).verdict == NO_DOUBLE_DESCENT
    assert profile(HUMP, 0.02, 2, 0).verdict == INCONCLUSIVE and profile(HUMP, 0.02, 2, 0).height is None
    assert profile(HUMP, 0.2, 3, 1).verdict != DOUBLE_DESCENT


@pytest.fixture(scope="module")
def descended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Widths at all of the data with a peak at 16, amounts at width 8 without one, and curves that fall twice."""
    store, random = Store(tmp_path_factory.mktemp("descended")), np.random.default_rng(1)
    for config in descent_sweep(STRINGS, widths=(2, 4, 8, 16, 32, 64), shares=(0.1, 0.2, 0.4, 0.7), at=8, seeds=4):
        width, examples = config.model.width, (config.data.unique or 3600) // 6
        test = HUMP[list(X).index(width)] + 0.1 * (600 / examples - 1)
        rows = []
        for step in range(100, config.steps + 1, 100):
            over = 0.1 * np.exp(-((np.log(step / 500) / 0.3) ** 2)) * (width == 64)
            error = test + over + 0.1 * np.exp(-step / 100) + 0.004 * random.standard_normal()
            wrong = max(0.0, 0.5 - 0.03 * width)
            text = {"val_accuracy": 1 - error, "train_accuracy": 1 - wrong}
            rows.append({"step": step, "loss": 1.0, "val_loss": 1.0, "train_loss_fixed": 1.0, **text})
        put(store, config, STRINGS, rows)
    return store.root


def test_a_sweeps_profiles_are_told_apart(descended: Path) -> None:
    result = analyse_double_descent(descended)
    [width] = result.along("width")
    assert width.x.tolist() == X.tolist() and width.test.shape == (4, 6) and width.verdict == DOUBLE_DESCENT
    assert width.peak_position == (16, (16, 16)) and width.interpolation == 16 and width.height is not None
    assert width.height[0] == pytest.approx(0.12, abs=0.01)
    [data] = result.along("data")
    assert data.x.tolist() == [60, 120, 240, 420, 600] and data.verdict == NO_DOUBLE_DESCENT and data.fixed == "width 8"
    epochs = {(entry.fixed_value, entry.verdict) for entry in result.along("epochs") if entry.verdict == DOUBLE_DESCENT}
    assert epochs == {(64, DOUBLE_DESCENT)}
    assert result.verdict == [
        f"width-wise: {DOUBLE_DESCENT}",
        f"data-wise: {NO_DOUBLE_DESCENT}",
        f"epochs-wise: {DOUBLE_DESCENT}",
    ]
    assert all(entry.level == pytest.approx(1 - 0.05 / 10) for entry in result.along("epochs"))


def test_the_double_descent_command_prints_profiles_and_verdicts(
    descended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["double-descent", str(descended), "--json", str(tmp_path / "d.json")]) == 0
    output = capsys.readouterr().out
    assert "over width at 600 examples, 4 seeds: double descent; peak at width 16 [16, 16]" in output
    data = json.loads((tmp_path / "d.json").read_text())
    assert data["verdict"] == {"width": DOUBLE_DESCENT, "data": NO_DOUBLE_DESCENT, "epochs": DOUBLE_DESCENT}
    save_figure(str(descended), "double-descent", tmp_path / "d.png")
    rows = (tmp_path / "d.data.csv").read_text()
    assert "peak, width, 600 examples" in rows and "test error" in rows and "training error" in rows


def test_the_interval_is_students() -> None:
    low, high = accuracy_curves.student_interval([1.0, 2.0, 3.0]) or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
    assert accuracy_curves.student_interval([1.0]) is None and descents.MIN_SEEDS == 3


def test_a_table_of_errors_has_the_peak_that_was_planted() -> None:
    widths = np.array([2, 4, 8, 16, 32, 64, 128])
    rng = np.random.default_rng(0)
    rows = [
        {"hidden_size": width, "trial": seed, "val_acc": 0.7 + 0.02 * i - 0.1 * (width == 16) + rng.normal(0, 0.003)}
        for i, width in enumerate(widths)
        for seed in range(4)
    ]
    [profile] = analyse_double_descent(pd.DataFrame(rows)).profiles
    assert profile.verdict == DOUBLE_DESCENT and profile.peak_position[0] == 16
    json.dumps(profile.to_json(), allow_nan=False)
    with pytest.raises(DataError, match="no column for test"):
        analyse_double_descent(pd.DataFrame({"width": widths, "loss": widths}))
    with pytest.raises(DataError, match="is not a share from 0 to 1"):
        analyse_double_descent(pd.DataFrame({"width": widths, "test_error": 50.0}))
