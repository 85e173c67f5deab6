"""The health of a sweep in its status: runs with planted faults are named while they run, and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scaling.config.model import ModelConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.counting.counts import total_parameters, total_run_flops
from scaling.data.windows import WindowOrder
from scaling.store.record import Store
from scaling.training.loop import train
from sweeps.monitoring.health import health_lines
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text
from tests.support.known_store import build

WIDTHS, LENGTHS = (12, 16, 24, 32), (440, 600, 800)
PLANTED_STEPS = 600
STALE_FROM = 120  # step at which the planted run begins its data again


def ladder(base: RunConfig, width: int, steps: int) -> RunConfig:
    """A run of the ladder: the rules of a sweep, tiny."""
    model = ModelConfig(vocab=264, width=width, layers=1, heads=2, mlp_width=2 * width)
    optimizer = dataclasses.replace(base.optimizer, lr=0.006 * (width / 16) ** -0.8)
    return dataclasses.replace(
        base, model=model, optimizer=optimizer, schedule=ScheduleConfig(warmup=20), steps=steps, batch=8
    )


def train_part(config: RunConfig, store: Store, share: float = 1.0) -> None:
    """Trains a run, up to a share of its steps; the rest remains, as of a run that is under way."""

    def is_past() -> bool:
        row = store.last_row(run_id(config))
        return row is not None and row["step"] >= share * config.steps

    placement = Placement(data=1, save_seconds=1e9, block=10, share=False)  # a fault must not skip what others trained
    train(config, store, placement, sweep="grid", emit=lambda event: None, should_stop=is_past)


def write_plan(store: Store, configs: list[RunConfig]) -> None:
    sizes = [{"N": total_parameters(c.model), "D": c.tokens, "C": total_run_flops(c), "from": 0} for c in configs]
    store.write_sweep("grid", configs, [run_id(c) for c in configs], sizes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[tuple[Store, list[RunConfig]]]:
    """A sweep of four sizes and three lengths that ran as planned."""
    from tests.conftest import tiny

    store = Store(tmp_path_factory.mktemp("sweep") / "store")
    store.token_files.mkdir(parents=True)
    (store.token_files / corpus.name).symlink_to(corpus)
    base = tiny.__wrapped__(corpus)  # type: ignore[attr-defined]
    configs = [ladder(base, width, steps) for width in WIDTHS for steps in LENGTHS]
    for config in configs:
        train_part(config, store)
    write_plan(store, configs)
    yield store, configs


@pytest.mark.slow
def test_planted_faults_are_named_by_half_of_their_steps_and_no_other_run_is(
    trained: tuple[Store, list[RunConfig]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, configs = trained
    healthy = status(store, "grid")["health"]
    assert healthy["compared"] == len(configs) and healthy["left_band"] == []
    assert f"learning curves of {len(configs)} runs compared: none left the band" in as_text(status(store, "grid"))
    template = next(c for c in configs if c.model.width == 16 and c.steps == PLANTED_STEPS)
    other = next(c for c in configs if c.model.width == 24 and c.steps == PLANTED_STEPS)
    fast = dataclasses.replace(
        template, optimizer=dataclasses.replace(template.optimizer, lr=4 * template.optimizer.lr)
    )
    slow = dataclasses.replace(other, schedule=dataclasses.replace(other.schedule, warmup=PLANTED_STEPS // 2))
    cosine = dataclasses.replace(other, schedule=dataclasses.replace(other.schedule, name="cosine"))
    stale = dataclasses.replace(template, steps=PLANTED_STEPS + 20)
    for planted in (fast, slow, cosine):
        train_part(planted, store, 0.55)
    with monkeypatch.context() as patch:  # a data order that begins again
        windows = WindowOrder.windows

        def stale_windows(order: WindowOrder, rows: np.ndarray) -> np.ndarray:
            start = STALE_FROM * stale.batch
            return windows(order, np.where(rows >= start, rows - start, rows))

        patch.setattr(WindowOrder, "windows", stale_windows)
        train_part(stale, store, 0.55)
    write_plan(store, [*configs, fast, slow, cosine, stale])
    shown = status(store, "grid")
    left = {entry["run_id"]: entry for entry in shown["health"]["left_band"]}
    names = {"lr": run_id(fast), "warm-up": run_id(slow), "cosine": run_id(cosine), "order": run_id(stale)}
    assert set(left) == set(names.values())
    assert all(entry["share"] <= 0.5 for entry in left.values())
    assert "above" in left[names["warm-up"]]["reason"]
    assert "of the other runs 1.00" in left[names["cosine"]]["reason"]
    assert f"repeat those of {STALE_FROM} steps before" in left[names["order"]]["reason"]
    for line in health_lines(shown["health"]):
        assert line in as_text(shown, width=200)


def test_a_sweep_without_curves_has_no_health_and_few_runs_are_not_compared(tmp_path: Path) -> None:
    store = build(tmp_path / "known", rows=20)
    assert health_lines({}) == [] and health_lines({"compared": 0, "left_band": []}) == []
    for run in store.records():
        (store.run_dir(run.run_id) / "curve.parquet").unlink()
    assert status(store, "quickstart")["health"] == {}
