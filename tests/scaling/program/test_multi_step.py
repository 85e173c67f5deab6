"""Laws of steps in blocks: one dispatch for many changes no number, wherever blocks begin, end or are stopped."""

import dataclasses

import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import ConfigError
from scaling.program import multi_step
from scaling.program.step import program
from scaling.store.record import Store
from tests.scaling.training.test_loop import ALONE, assert_same_run, go, other

__all__ = ["other"]
BLOCKS = dataclasses.replace(ALONE, block=7)


def test_a_run_in_blocks_equals_a_run_step_by_step_bit_for_bit(store: Store, other: Store, tiny: RunConfig) -> None:
    stopped = go(tiny, store, BLOCKS, stop_after=2)  # blocks: 6 to the evaluation, then as many
    assert stopped.status == "stopped" and stopped.about["steps_computed"] == 12
    go(tiny, store, BLOCKS)
    go(tiny, other)
    assert_same_run(store, other, tiny)
    longer = override(tiny, ["steps=40"])
    branched = go(longer, store, BLOCKS)  # from where the first began to decay
    assert branched.about["started_from"] == {"step": 16, "shared": True}
    go(longer, other, dataclasses.replace(ALONE, share=False))
    assert_same_run(store, other, longer)


@pytest.mark.slow
def test_a_run_whose_batch_grows_is_the_same_in_blocks(store: Store, other: Store, tiny: RunConfig) -> None:
    ramped = override(tiny, ["schedule.batch_ramp=[[4, 5]]", "eval.every=0"])
    go(ramped, store, BLOCKS)
    go(ramped, other)
    assert_same_run(store, other, ramped)


def test_a_run_that_diverges_within_a_block_keeps_the_figures_before(
    store: Store, other: Store, tiny: RunConfig
) -> None:
    wild = override(tiny, ["optimizer.lr=1e30", "optimizer.clip=0", "eval.every=0"])
    records = [go(wild, store, BLOCKS), go(wild, other)]
    assert [record.status for record in records] == ["diverged", "diverged"]
    assert records[0].about["diverged_at"] == records[1].about["diverged_at"] > 1
    assert records[0].final == records[1].final
    assert store.curve(run_id(wild)) == other.curve(run_id(wild))


def test_no_block_crosses_an_evaluation_the_decay_another_batch_or_the_end(tiny: RunConfig) -> None:
    config = override(tiny, ["schedule.batch_ramp=[[4, 5]]"])  # evaluated every 6, decays from 16 on, 20 steps
    steps = [0]
    while count := multi_step.span(config, steps[-1], 4):
        steps.append(steps[-1] + count)
    assert steps == [0, 4, 5, 6, 10, 12, 16, 18, 20]
    assert multi_step.span(config, 6, 4, also=(3, 8)) == 2


def test_a_block_is_of_one_device_and_of_small_steps(tiny: RunConfig) -> None:
    assert multi_step.block_of(tiny, Placement(), 1) == multi_step.MOST
    assert multi_step.block_of(tiny, Placement(), 8) == 1
    large = override(tiny, ["model.width=512", "model.mlp_width=2048", "model.layers=24", "data.length=512"])
    assert multi_step.block_of(large, Placement(), 1) == 1
    with pytest.raises(ConfigError, match=r"Placement\.block = 4: is of one device, not of 8"):
        program(tiny, Placement(block=4), in_blocks=True)


def test_a_blocks_batches_are_those_of_its_steps(store: Store, tiny: RunConfig) -> None:
    from scaling.training import loop
    from scaling.training.run import Run

    compiled, _ = program(tiny, BLOCKS, in_blocks=True)
    tokens, windows, _ = loop.corpus(tiny, store)
    run = Run(tiny, store, BLOCKS, compiled, tokens, lambda event: None, lambda: False, windows)
    got_SBX, count = loop.read_block(run, 12)
    assert count == 4 and len(got_SBX) == 7 and not got_SBX[4:].any()
    np.testing.assert_array_equal(got_SBX[:4], np.stack([loop.read(run, step) for step in range(12, 16)]))
