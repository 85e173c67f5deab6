"""The event files: TensorBoard's own reader finds the curve, each point once, whatever happened on the way."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import types
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.store.record import Store
from scaling.store.verification.masked_crc import masked_crc
from scaling.training.packs.loop import train_pack
from scaling.training.tracking.tensorboard import POINTS, TensorBoard
from tests.support.training import STEPWISE, train_run

# TensorBoard reads files by TensorFlow where that is installed; told that there is none, by itself, and at once
sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def folders(store: Store) -> list[Path]:
    return sorted((store.root / "tensorboard").iterdir())


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads of a run: step and value by tag; all of it (0: no sampling)."""
    read = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def curve(store: Store, config: RunConfig, name: str) -> list[tuple[int, float]]:
    rows = store.curve(run_id(config))
    return [(int(row["step"]), pytest.approx(row[name], rel=1e-6)) for row in rows if name in row]


def test_the_checksum_is_the_one_of_the_rfc() -> None:
    """RFC 3720, appendix B.4: 32 zero bytes have 8a9136aa."""
    crc = (masked_crc(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((crc << 15) | (crc >> 17)) & 0xFFFFFFFF == 0x8A9136AA


def test_tensorboard_reads_the_curve_of_a_run_that_was_stopped_and_went_on_once(store: Store, tiny: RunConfig) -> None:
    assert train_run(tiny, store, stop_after=9).status == "stopped"
    [folder] = folders(store)
    assert folder.name == f"16x2-20-{run_id(tiny)[:12]}"
    assert [step for step, _ in points(folder)["loss/train"]] == list(range(1, len(store.curve(run_id(tiny))) + 1))
    late = folder / "events.out.tfevents.0000000000001"  # of a process that was killed before it had tidied up
    shutil.copy(next(folder.iterdir()), late)
    assert train_run(tiny, store).status == "done"
    assert len([path for path in folder.iterdir() if path.stat().st_size]) == 1
    result = points(folder)
    assert result["loss/train"] == curve(store, tiny, "loss")
    assert result["loss/held-out"] == curve(store, tiny, "val_loss") and len(result["loss/held-out"]) == 4
    assert result["grad_norm"] == curve(store, tiny, "grad_norm")


def test_a_reader_that_has_seen_the_older_file_forgets_it(store: Store, tiny: RunConfig) -> None:
    """As TensorBoard does while a run is stopped and taken in hand again: no point twice."""
    rows = [{"step": step, "loss": 5.0 / step} for step in range(1, 21)]
    first = TensorBoard(store, tiny, rows[:12])
    [folder] = folders(store)
    watching = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    assert len(watching.Scalars("loss/train")) == 12
    second = TensorBoard(store, tiny, rows[:8])
    second.add(rows[8:])
    first.add(rows[12:])  # of a process that has lost the run and does not know it yet
    assert first.path is not None and not first.path.read_bytes()  # there still, for the reader to go on from
    assert [event.step for event in watching.Reload().Scalars("loss/train")] == list(range(1, 21))
    TensorBoard(store, tiny, rows)
    assert len(list(folder.iterdir())) == 2 and [step for step, _ in points(folder)["loss/train"]] == list(range(1, 21))


@pytest.mark.slow
def test_runs_of_a_pack_and_branches_have_whole_curves_each(store: Store, tiny: RunConfig) -> None:
    configs = [tiny, override(tiny, ["seed=1"]), override(tiny, ["optimizer.lr=1e20"])]
    records = train_pack(configs, store, dataclasses.replace(STEPWISE, run=1))
    for config, record in zip(configs, records, strict=True):
        [folder] = (store.root / "tensorboard").glob(f"*-{run_id(config)[:12]}")
        assert points(folder)["loss/train"] == curve(store, config, "loss")
        assert record.status == ("done" if config.optimizer.lr < 1 else "diverged")
    longer = override(tiny, ["steps=30"])
    assert train_run(longer, store).about["started_from"]["shared"]
    [folder] = (store.root / "tensorboard").glob(f"*-{run_id(longer)[:12]}")
    assert points(folder)["loss/train"] == curve(store, longer, "loss")


def test_a_long_run_has_some_thousand_points_its_evaluations_and_its_end(store: Store, tiny: RunConfig) -> None:
    config = override(tiny, ["steps=12345"])
    rows = [{"step": step, "loss": 5.0} | ({"val_loss": 4.0} if step == 777 else {}) for step in range(1, 12346)]
    board = TensorBoard(store, config, [])
    for start in range(0, len(rows), 500):
        board.add(rows[start : start + 500])
    steps = [step for step, _ in points(folders(store)[0])["loss/train"]]
    assert {777, 12345} <= set(steps) and POINTS / 2 < len(steps) <= POINTS + 2
    assert steps == sorted(set(steps))


def test_it_can_be_left_out_and_other_hosts_write_none(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store, dataclasses.replace(STEPWISE, tensorboard=False))
    TensorBoard(Store(store.root, writes=False), tiny, []).add([{"step": 20, "loss": 1.0}])
    assert not (store.root / "tensorboard").exists()
