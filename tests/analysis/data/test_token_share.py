"""The share of a run's training tokens at a step counts the sequences of a batch ramp, in every module that uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.data.load import load
from analysis.evals.load import load_tasks
from analysis.figures import source as figure_source
from scaling.config.run import RunConfig, override
from scaling.store.record import Store
from tests.support import items_store
from tests.support.records import add_record, config

RAMP = "schedule.batch_ramp=[[2,5],[4,12]]"  # batch 8 and 20 steps: 5·2 + 7·4 + 8·8 = 102 sequences
SHARE_AT_5 = 10 / 102


@pytest.fixture
def ramped() -> RunConfig:
    return override(config(32, 20), [RAMP])


def test_share_counts_sequences_and_not_steps(ramped: RunConfig) -> None:
    shares = [ramped.token_share(step) for step in (0, 5, 12, 20, 21)]
    assert shares == [0, SHARE_AT_5, 38 / 102, 1, 1]
    plain = override(ramped, ["schedule.batch_ramp=[]"])
    assert [plain.token_share(step) for step in range(21)] == [step / 20 for step in range(21)]


def test_curves_and_evaluations_of_a_ramped_run_are_placed_by_the_tokens_read(
    tmp_path: Path, ramped: RunConfig
) -> None:
    store = Store(tmp_path)
    record = add_record(store, ramped, loss=3.0)
    assert record.token_share(5) == SHARE_AT_5
    store.finish_curve(record.run_id, [{"step": s, "loss": 3.0, "val_loss": 3.0} for s in (5, 20)])
    answer = items_store.row("digits", 0, "exact", 0, answer="1", answer_logp=[-1.0], chance=0.0, greedy=True)
    items_store.write(store.items_dir(record.run_id) / "digits.5.parquet", [answer])

    points = load(tmp_path, curves=True)
    assert points.curves is not None
    [curve] = points.curves
    np.testing.assert_allclose(curve.D / points.D, [SHARE_AT_5, 1])
    np.testing.assert_allclose(curve.C / points.C, [SHARE_AT_5, 1])
    [figure_curve] = figure_source.load(tmp_path).curves()
    np.testing.assert_allclose(figure_curve.C / points.C, [SHARE_AT_5, 1])
    [task] = load_tasks(tmp_path).tasks
    np.testing.assert_allclose(task.runs["D"] / points.D, SHARE_AT_5)
    np.testing.assert_allclose(task.runs["C"] / points.C, SHARE_AT_5)
