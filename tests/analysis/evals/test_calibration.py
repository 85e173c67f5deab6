"""Calibration, abstention and extraction: known answers by hand, sound models found sound, rates that rise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.errors import DataError
from analysis.evals import calibration, extraction
from analysis.evals.options import CalibrationOptions
from analysis.figures.save import save_figure
from scaling.store import items


def known(confidence: np.ndarray, right: np.ndarray) -> calibration.Answers:
    return calibration.Answers("r", "t", 1, confidence, np.asarray(right, float))


def choices(count: int, sharp: float, seed: int = 0) -> list[dict]:
    """Items of four choices whose right one is drawn by their probabilities; sharp: times they are told too sure."""
    stream, rows = np.random.default_rng(seed), []
    for i in range(count):
        logp = np.log(stream.dirichlet(np.ones(4)))
        gold = int(stream.choice(4, p=np.exp(logp)))
        rows.append(
            {"task": "quiz", "family": "quiz", "shots": 0, "step": 5, "item": i, "metric_kind": "choice",
             "choices": list("abcd"), "choice_logp": (sharp * logp).tolist(), "choice_tokens": [1, 1, 1, 2],
             "choice_bytes": [1] * 4, "gold": gold}
        )  # fmt: skip
    return rows


def planted(rates: dict[int, float], count: int = 40) -> list[dict]:
    return [
        {"task": "extraction", "family": "canary", "difficulty": times, "shots": 0, "step": 5, "item": i,
         "metric_kind": "exact", "greedy": i < rate * count, "answer_logp": [-3.0 * (1 - rate)] * 4}
        for times, rate in rates.items() for i in range(count)
    ]  # fmt: skip


def test_errors_by_hand() -> None:
    confidence, right = np.array([0.95, 0.85, 0.85, 0.3]), np.array([1.0, 1, 0, 0])
    assert calibration.reliability_bins(confidence, right) == [(0.3, 0, 1), (pytest.approx(0.85), 0.5, 2), (0.95, 1, 1)]
    assert calibration.expected_calibration_error(confidence, right) == pytest.approx((0.3 + 2 * 0.35 + 0.05) / 4)
    np.testing.assert_allclose(calibration.error_rates(confidence, right), [0, 0.25, 1 / 3, 0.5])
    assert calibration.area_under_risk_coverage(confidence, right) == pytest.approx((0.25 + 1 / 3 + 0.5) / 4)
    assert (
        calibration.risk_at_coverage(confidence, right)[-1] == 0.5
        and calibration.risk_at_coverage(confidence, right)[0] == 0
    )


def test_of_equal_confidence_the_order_of_items_has_no_say() -> None:
    right = np.array([1.0, 0, 1, 0, 1, 1])
    for order in (right, right[::-1]):
        np.testing.assert_allclose(calibration.error_rates(np.full(6, 0.5), order), 1 / 3)


def test_a_sound_model_is_sound_and_one_too_sure_is_not(tmp_path: Path) -> None:
    for sharp, run in ((1.0, "sound"), (4.0, "sure")):
        items.write_items(tmp_path / "runs" / run / "items", "quiz", 0, 5, choices(1500, sharp))
    sound, sure = (
        calibration.measure_calibration(entry, CalibrationOptions(bootstrap=200))
        for entry in calibration.load_answers(tmp_path)
    )
    assert (sound.answers.run, sure.answers.run) == ("sound", "sure")
    assert sound.ece < 1.5 * sound.ece_calibrated < 0.05 and sure.ece > 5 * sure.ece_calibrated
    assert sure.ece_interval[0] < sure.ece < sure.ece_interval[1] and sure.accuracy == sound.accuracy
    assert sound.risk[9] < sound.risk[-1] and sound.risk[-1] == pytest.approx(1 - sound.accuracy)
    low, high = sound.risk_interval.T
    assert np.all((low <= sound.risk) & (sound.risk <= high))


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Area under risk and coverage of 200 draws of 150 items, against that of very many."""
    stream = np.random.default_rng(1)

    def draw(count: int) -> calibration.Answers:
        confidence = stream.uniform(0.25, 1, count)
        return known(confidence, stream.random(count) < confidence**2)

    truth = draw(200_000)
    area = calibration.area_under_risk_coverage(truth.confidence, truth.correct)
    covered = 0
    for _ in range(200):
        low, high = calibration.measure_calibration(draw(150), CalibrationOptions(bootstrap=100)).aurc_interval
        covered += low <= area <= high
    assert 174 <= covered <= 199  # of a level of 95%, the bootstrap's own shortfall allowed for


def test_choices_alike_are_right_by_their_share_and_per_is_named() -> None:
    table = pd.DataFrame([{"choice_logp": [-1.0] * 4, "gold": 2, "choice_tokens": [1, 1, 1, 4]}])
    assert calibration.confidences(table, None) == (np.array([0.25]), np.array([0.25]))
    confidence, right = calibration.confidences(table, "choice_tokens") or ([], [])
    assert right == [0] and confidence == pytest.approx(np.exp(-0.25) / (np.exp(-0.25) + 3 * np.exp(-1)))
    with pytest.raises(DataError, match="per word: must be one of raw, token"):
        calibration.load_answers(".", CalibrationOptions(per="word"))


def test_the_command_and_the_figures_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", str(tmp_path)]) == 2 and capsys.readouterr().err.count("\n") == 1
    folder = tmp_path / "runs" / "r" / "items"
    items.write_items(folder, "quiz", 0, 5, choices(200, 2.0))
    items.write_items(folder, "extraction", 0, 5, planted({1: 0.0, 4: 0.25, 16: 1.0}))
    [first] = extraction.load_extractions(tmp_path)
    assert first.hits.tolist() == [0, 10, 40] and first.documents.tolist() == [40] * 3 and first.nats[2] == 0
    rate, low, high = first.rates()[1]
    assert rate == 0.25 and 0.13 < low < 0.16 and 0.38 < high < 0.42
    assert main(["calibration", str(tmp_path), "--json", "-", "--bootstrap", "100"]) == 0
    assert '"rate": 0.25' in (output := capsys.readouterr().out) and '"ece"' in output
    assert main(["calibration", str(tmp_path), "--bootstrap", "100"]) == 0
    assert "10 of 40" in capsys.readouterr().out
    for name in ("calibration", "extraction"):
        assert save_figure(tmp_path, name, tmp_path / f"{name}.svg").stat().st_size > 3000
        assert (tmp_path / f"{name}.data.csv").read_text().count("\n") > 5
