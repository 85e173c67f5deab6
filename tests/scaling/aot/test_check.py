"""What a step costs a slice: the compiler's text read rightly, and the real compiler where libtpu is at hand."""

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.aot.check import smaller_placements
from scaling.aot.hlo import collectives
from scaling.aot.worker import parse_bytes, parse_memory_error
from scaling.config.placement import Placement
from scaling.config.presets import preset
from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError
from scaling.counting.counts import parameters
from scaling.counting.tpu import GENERATIONS, tpu_slice
from scaling.program.build import build_program
from tests.support.commands import command

LOOPED = """HloModule step

%cond (p: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(6)
  %p = (s32[], f32[8]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

%fused (x: f32[8]) -> f32[32] {
  ROOT %gathered = f32[32]{0} all-gather(%x), dimensions={0}
}

%body (p.1: (s32[], f32[8])) -> (s32[], f32[8]) {
  %sent = (bf16[4,2]{1,0}, bf16[4,2]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%y), channel_id=1
  %kernel = f32[8]{0} custom-call(%x), frontend_attributes={kernel_metadata={
"block": 512
}}, metadata={op_name="kernel"}
  %f = f32[32]{0} fusion(%x), kind=kCustom, calls=%fused
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %loop = (s32[], f32[8]) while(%t), condition=%cond, body=%body
  %known = (s32[], f32[8]) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"2"}}
  %all = (f32[3]{0}, bf16[5]{0}) all-reduce-start(%a, %b), to_apply=%add
}
"""


def test_collectives_are_counted_as_often_as_their_loop_goes_round() -> None:
    assert collectives(LOOPED) == {
        "all-reduce": {"count": 1, "bytes": 3 * 4 + 5 * 2},
        "all-gather": {"count": 8, "bytes": 8 * 32 * 4},
        "collective-permute": {"count": 8, "bytes": 8 * 8 * 2},
    }


def test_slices_have_the_chips_that_their_names_say() -> None:
    for generation, facts in GENERATIONS.items():
        cores = 2 if generation in ("v4", "v5p") else 1
        for number in facts.slices:
            assert tpu_slice(f"{generation}-{number}").chips * cores == number
    with pytest.raises(ConfigError, match=r"'v5e-5': must be one of .*v5e-16"):
        tpu_slice("v5e-5")


def test_a_step_that_does_not_fit_names_its_buffers() -> None:
    message = """RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. \
Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.

  Largest program allocations in hbm:

  1. Size: 3.05G
     Operator: op_name="jit(step)/dot_general"
     Shape: f32[8,2048,50257]{2,1,0}
     ==========================

  2. Size: 512.0M
     Shape: f32[1]
"""
    result = parse_memory_error(message)
    assert result["memory"] == {"total": int(20.5 * 2**30), "usable": int(15.75 * 2**30)}
    assert [buffer["bytes"] for buffer in result["largest"]] == [int(3.05 * 2**30), 2**29]
    early = "total memory required for HLO temporaries (121.23G) exceeds available HBM (15.75G)."
    assert parse_memory_error(early)["memory"] == {"total": int(121.23 * 2**30), "usable": int(15.75 * 2**30)}
    assert "f32[8,2048,50257]" in result["largest"][0]["what"] and parse_bytes("7") == 7


def test_what_is_tried_changes_the_placement_and_divides_the_chips(tiny: RunConfig) -> None:
    config = override(tiny, ["batch=16"])
    for changes in smaller_placements(config, Placement(), 16):
        place = Placement(**changes)
        assert changes and (not place.data or place.data * place.fsdp * place.tensor == 16)


@pytest.mark.parametrize(
    "placement",
    [
        Placement(data=1, microbatch=2),
        pytest.param(Placement(data=2, fsdp=2, microbatch=4), marks=pytest.mark.slow),
    ],
)
def test_microbatches_are_the_batch(tiny: RunConfig, placement: Placement) -> None:
    tokens = np.random.default_rng(0).integers(0, tiny.model.vocab, (tiny.batch, tiny.data.length + 1), np.int32)
    figures = []
    for place in (Placement(data=1), placement):
        compiled, _ = build_program(tiny, place)
        state = compiled.init(0)
        for _ in range(3):
            state, metrics = compiled.step(state, jax.device_put(tokens, compiled.batch_sharding), np.float32(0.01))
        figures.append([float(metrics["loss"]), float(metrics["grad_norm"])])
    np.testing.assert_allclose(figures[1], figures[0], rtol=1e-5)


def test_microbatches_that_cannot_be_say_why(tiny: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"microbatch = 3: must divide RunConfig\.batch = 8"):
        build_program(tiny, Placement(data=1, microbatch=3))
    with pytest.raises(ConfigError, match="multiple of the 4"):
        build_program(tiny, Placement(data=4, microbatch=2))
    with pytest.raises(ConfigError, match="balance loss of experts is defined on a whole batch"):
        build_program(override(tiny, ["model.experts=4"]), Placement(data=1, microbatch=2))


def test_without_libtpu_one_line_says_what_to_install() -> None:
    if importlib.util.find_spec("libtpu"):
        pytest.skip("libtpu is here")
    done = command("scaling", "aot", "gpt2", "--topology", "v5e-16")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "scaling[tpu]" in done.stderr


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'scaling[tpu]'")
@pytest.mark.parametrize("name", ["v5e-16", "v5p-16", "v6e-16"])
def test_a_dense_billion_and_a_small_mixture_fit_with_the_collectives_that_were_planned(
    name: str, tmp_path: Path
) -> None:
    chips = tpu_slice(name).chips
    path = tmp_path / "run.json"
    path.write_text(json.dumps(MIXTURE))
    cases: dict[str, tuple[str, ...]] = {
        "chinchilla-1018m": (f"fsdp={chips}", "remat=full"),  # rotary: its own relative positions no kernel knows
        str(path): (f"expert={min(chips, 8)}", f"fsdp={chips // min(chips, 8)}"),
    }
    for model, places in cases.items():
        words = [argument for place in places for argument in ("--place", place)]
        batch = ("--batch", str(chips), *(() if model.endswith(".json") else ("--set", "model.positions=rotary")))
        done = command(
            "scaling", "aot", model, "--topology", name, *batch, *words, "--json", timeout=1800,
            XDG_CACHE_HOME=tmp_path, PYTHONPATH=os.environ.get("PYTHONPATH", ""),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["fits"] and result["memory"]["total"] < result["memory"]["hbm"] and result["chips"] == chips
        sent = result["collectives"]
        assert any(kernel.startswith("splash") for kernel in result["kernels"])  # as on a TPU, not as here
        if model.endswith(".json"):  # slots go to their experts and come back, forwards and backwards
            assert sent["all-to-all"]["count"] == 4 * MIXTURE["model"]["layers"]
            continue
        # weights are gathered forwards, again and backwards, gradients reduced, by gathers or by neighbours passing
        # them round: 4 times the model, between all in bfloat16 and all in float32; AdamW's state is 12 bytes each
        size, state = (
            parameters(replace(preset(model), positions="rotary"))["total"],
            result["memory"]["arguments"] * chips,
        )
        passed = sum(sent.get(kind, {}).get("bytes", 0) for kind in set(sent) - {"all-reduce"})
        assert "all-to-all" not in sent and 4 * 2 <= passed / size <= 4 * 4
        assert 12 * size < state < 12.6 * size


MIXTURE: dict = {
    "model": {
        "vocab": 32000, "width": 512, "layers": 4, "heads": 8, "mlp_width": 1024, "experts": 8, "experts_chosen": 2,
        "capacity": 1.25,
    },
    "data": {"tokens": "0" * 64, "length": 1024}, "optimizer": {"lr": 0.001}, "batch": 16, "steps": 1,
    "schedule": {"name": "constant"},
}  # fmt: skip
