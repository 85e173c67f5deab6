"""Steps in blocks: one dispatch for many changes no number, wherever blocks begin, end or are stopped."""

import dataclasses

import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import ConfigError
from scaling.program import multi_step
from scaling.program.build import build_program
from scaling.store.record import Store
from tests.support.training import STEPWISE, assert_same_run, train_run

BLOCKS = dataclasses.replace(STEPWISE, block=7)


def test_a_run_in_blocks_equals_a_run_step_by_step_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig
) -> None:
    stopped = train_run(tiny, store, BLOCKS, stop_after=2)  # blocks: 6 to the evaluation, then as many
    assert stopped.status == "stopped" and stopped.about["steps_computed"] == 12
    train_run(tiny, store, BLOCKS)
    train_run(tiny, second_store)
    assert_same_run(store, second_store, tiny)
    longer = override(tiny, ["steps=40"])
    branched = train_run(longer, store, BLOCKS)  # from where the first began to decay
    assert branched.about["started_from"] == {"step": 16, "shared": True}
    train_run(longer, second_store, dataclasses.replace(STEPWISE, share=False))
    assert_same_run(store, second_store, longer)


@pytest.mark.slow
def test_a_run_whose_batch_grows_is_the_same_in_blocks(store: Store, second_store: Store, tiny: RunConfig) -> None:
    ramped = override(tiny, ["schedule.batch_ramp=[[4, 5]]", "eval.every=0"])
    train_run(ramped, store, BLOCKS)
    train_run(ramped, second_store)
    assert_same_run(store, second_store, ramped)


@pytest.mark.slow
def test_a_run_that_diverges_within_a_block_keeps_the_figures_before(
    store: Store, second_store: Store, tiny: RunConfig
) -> None:
    wild = override(tiny, ["optimizer.lr=1e30", "optimizer.clip=0", "eval.every=0"])
    records = [train_run(wild, store, BLOCKS), train_run(wild, second_store)]
    assert [record.status for record in records] == ["diverged", "diverged"]
    assert records[0].about["diverged_at"] == records[1].about["diverged_at"] > 1
    assert records[0].final == records[1].final
    assert store.curve(run_id(wild)) == second_store.curve(run_id(wild))


def test_no_block_crosses_an_evaluation_the_decay_another_batch_or_the_end(tiny: RunConfig) -> None:
    config = override(tiny, ["schedule.batch_ramp=[[4, 5]]"])  # evaluated every 6, decays from 16 on, 20 steps
    steps = [0]
    while count := multi_step.next_block_length(config, steps[-1], 4):
        steps.append(steps[-1] + count)
    assert steps == [0, 4, 5, 6, 10, 12, 16, 18, 20]
    assert multi_step.next_block_length(config, 6, 4, boundaries=(3, 8)) == 2


def test_a_block_is_of_one_device_and_of_small_steps(tiny: RunConfig) -> None:
    assert multi_step.steps_per_dispatch(tiny, Placement(), 1) == multi_step.MAX_BLOCK_STEPS
    assert multi_step.steps_per_dispatch(tiny, Placement(), 8) == 1
    large = override(tiny, ["model.width=512", "model.mlp_width=2048", "model.layers=24", "data.length=512"])
    assert multi_step.steps_per_dispatch(large, Placement(), 1) == 1
    with pytest.raises(ConfigError, match=r"Placement\.block = 4: needs one device, not 8"):
        build_program(tiny, Placement(block=4), in_blocks=True)


def test_a_blocks_batches_are_those_of_its_steps(store: Store, tiny: RunConfig) -> None:
    from scaling.training import loop
    from scaling.training.run import Run
    from scaling.training.steps import read_batch, read_block

    compiled, _ = build_program(tiny, BLOCKS, in_blocks=True)
    tokens, windows, _ = loop.open_corpus(tiny, store, Placement())
    run = Run(tiny, store, BLOCKS, compiled, tokens, lambda event: None, lambda: False, windows)
    got_SBX, count = read_block(run, 12)
    assert count == 4 and len(got_SBX) == 7 and not got_SBX[4:].any()
    np.testing.assert_array_equal(got_SBX[:4], np.stack([read_batch(run, step) for step in range(12, 16)]))
