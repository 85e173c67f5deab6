"""`bench` measures each size, compares it with PyTorch, and says why it leaves a size out."""

import json

import pytest

from tests.support.commands import call_command, command


@pytest.mark.slow
def test_each_size_is_measured_or_left_out_with_the_reason() -> None:
    pytest.importorskip("torch")
    arguments = (
        "--shapes",
        "16x1,8192x64",
        "--steps",
        1,
        "--seconds",
        20,
        "--compare",
        "eager",
        "--length",
        16,
        "--json",
    )
    done = command("scaling", "bench", *arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    small, large = result["shapes"]
    assert result["matmul_flops_per_second"] > 1e8 and result["length"] == 16
    assert small["parameters"] == 16 * 257 * 2 + 16 * 64 + 3 * 16 * 48 + 3 * 16
    for name in ("tokens_per_second", "torch_eager_tokens_per_second", "ratio_eager", "compile_seconds"):
        assert small[name] > 0, name
    assert 0 < small["share_of_matmul_rate"] < 1
    assert "--seconds" in large["skipped"] or "GiB" in large["skipped"]


def test_an_unknown_mode_is_refused_in_one_line() -> None:
    done = call_command("scaling", "bench", "--compare", "keras")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "scaling bench: --compare = 'keras': must be one of eager, compile"
