"""What `bench` says is measured, beside PyTorch, and what there is no room or time for is said."""

import json

import pytest

from tests.support.commands import command


def test_sizes_are_measured_or_left_out_aloud() -> None:
    pytest.importorskip("torch")
    words = ("--shapes", "16x1,8192x64", "--steps", 1, "--seconds", 20, "--beside", "eager", "--length", 16, "--json")
    done = command("scaling", "bench", *words)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    small, large = said["shapes"]
    assert said["matmul_flops_per_second"] > 1e8 and said["length"] == 16
    assert small["parameters"] == 16 * 257 * 2 + 16 * 64 + 3 * 16 * 48 + 3 * 16
    for figure in ("tokens_per_second", "torch_eager_tokens_per_second", "ratio_eager", "compile_seconds"):
        assert small[figure] > 0, figure
    assert 0 < small["share_of_matmul_rate"] < 1
    assert "--seconds" in large["skipped"] or "GiB" in large["skipped"]


def test_a_side_that_is_not_known_is_refused_in_one_line() -> None:
    done = command("scaling", "bench", "--beside", "keras")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "scaling bench: --beside = 'keras': allowed are eager, compile"
