"""`bench sae` trains here and with SAELens in turns, and refuses what it cannot compare."""

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.bench.sae.compare import made_activations, ratio
from scaling.bench.sae.options import HELD_OUT, SaeBenchOptions
from tests.support.commands import call_command, command


@pytest.mark.slow
def test_both_are_trained_on_the_same_activations_and_scored_on_others() -> None:
    shape = ("--width", 16, "--latents", 512, "--l0", 4, "--batch", 256, "--rounds", 3, "--steps", 4, "--threads", 1)
    done = command("scaling", "bench", "sae", *shape, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["tokens"] == 3 * 4 * 256 and result["threads"] == 1
    for side in ("scaling", "sae_lens"):
        assert result[side]["tokens_per_second"] > 0 and result[side]["l0"] == pytest.approx(4, abs=0.01), side
        assert result[side]["explained_variance"] < 1
    speed = result["speed_ratio"]
    assert 0 < speed["low"] <= speed["value"] <= speed["high"]


def test_a_wrong_option_or_file_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    np.save(tmp_path / "few.npy", np.zeros((100, 4), np.float32))
    (tmp_path / "text.npy").write_text("text")
    for arguments, message in (
        (("--kind", "other"), "--kind = 'other': must be one of relu, topk, batch-topk, jumprelu"),
        (("--l0", 99, "--latents", 64), "--l0 99: must be above 0 and at most --latents 64"),
        (("--rounds", 1), "--rounds 1: must be 3 or more"),
        (("--activations", tmp_path / "few.npy"), "has 100 rows: must have 10240 or more"),
        (("--activations", tmp_path / "text.npy"), "not a readable .npy file"),
    ):
        refused = call_command("scaling", "bench", "sae", *arguments)
        assert refused.returncode == 2 and message in refused.stderr and refused.stderr.count("\n") == 1, message


def test_made_activations_are_the_same_for_a_seed_and_not_of_few_dimensions() -> None:
    options = SaeBenchOptions(width=8, latents=32, l0=2, batch=16, rounds=3, steps=1)
    first = made_activations(options)
    assert first.shape == (3 * 16 + HELD_OUT, 8) and np.array_equal(first, made_activations(options))
    assert np.linalg.eigvalsh(np.cov(first.T)).min() > 0.01


def test_a_ratio_of_turns_has_an_interval_around_their_geometric_mean() -> None:
    interval = ratio([2.0, 8.0], [1.0, 1.0])
    assert interval["value"] == pytest.approx(4.0) and interval["low"] < 2 < 8 < interval["high"]
