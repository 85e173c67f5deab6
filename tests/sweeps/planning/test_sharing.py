"""A sweep's graph: trunks, branches and packs as they will be run, and what they save, to the last FLOP."""

import dataclasses
import json
from pathlib import Path

import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.store.record import Store
from scaling.training.packs.program import group_into_packs as of_the_trainer
from sweeps.cost import sharing_saved
from sweeps.cost.pace import Pace
from sweeps.definitions import DEFINITIONS
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.planning import sharing as sharing_module
from sweeps.planning import workers
from sweeps.planning.plan import execution_order, plan_cost, plan_sweep, step_shape
from tests.support.sweeps import CORPUS, TRAINER, small_grid


def designed(name: str) -> list[RunConfig]:
    return execution_order(DEFINITIONS[name].make(CORPUS))


def test_every_branch_starts_where_another_run_of_its_trunk_keeps_its_state() -> None:
    runs = designed("quickstart")
    sharing, by_id = sharing_module.sharing_graph(runs), {run_id(run): run for run in runs}
    assert len(sharing.trunks) == 6 and len(sharing.branches) == 29
    order = [run_id(run) for run in runs]
    for branch in sharing.branches:
        assert branch.step == by_id[branch.source].decay_start
        assert order.index(branch.source) < order.index(branch.run_id)
        assert any(branch.source in names and branch.run_id in names for names in sharing.trunks)


def test_what_sharing_saves_is_what_the_plan_saves() -> None:
    planned = plan_sweep(designed("quickstart"), CORPUS)
    saving = sharing_saved.savings(
        planned, sharing_module.sharing_graph([run.config for run in planned.runs]), workers=2
    )
    assert saving["sharing"]["flops"] == plan_cost(planned)["flops_saved"] > 0
    assert saving["sharing"]["steps"] == sum(run.from_step for run in planned.runs)
    assert saving["packing"] == {"processes": 33, "compilations": 29, "dispatches": 0}
    assert "seconds" not in saving["sharing"] and "seconds" not in saving["packing"]


def test_seconds_saved_are_at_the_pace_of_the_store() -> None:
    planned = plan_sweep(designed("quickstart"), CORPUS)
    flat = {step_shape(run.config): 1e9 for run in planned.runs}
    by = Pace(shapes=flat, rates=[(0.0, 1.0)], compile_seconds=2.0, run_seconds=0.5, process_seconds=3.0)
    saving = sharing_saved.savings(
        planned, sharing_module.sharing_graph([run.config for run in planned.runs]), workers=2, pace=by
    )
    assert saving["sharing"]["seconds"] == pytest.approx(plan_cost(planned)["flops_saved"] / 1e9)
    assert saving["packing"]["seconds"] == 33 * 3.0 + 29 * 2.0


@pytest.mark.parametrize("name", ["transfer-check", "seeds", "quickstart"])
@pytest.mark.parametrize("size", [3, 8])
def test_packs_are_those_the_trainer_makes_and_never_hold_two_of_one_trunk(name: str, size: int) -> None:
    runs = designed(name)
    graph = sharing_module.sharing_graph(runs, size)
    sharing = {run for names in graph.trunks for run in names}
    alone = [run for run in runs if run_id(run) not in sharing]
    published_values = [[run_id(run) for run in group] for group in of_the_trainer(alone, size, Placement())]
    assert graph.packs == [group for group in published_values if len(group) > 1]
    assert all(2 <= len(names) <= size for names in graph.packs)
    assert bool(graph.packs) == (name != "quickstart")
    assert sharing.isdisjoint(run for names in graph.packs for run in names)


def test_runs_of_other_shapes_or_growing_batches_are_in_no_pack_together() -> None:
    run = designed("transfer-check")[0]
    same = [override(run, [f"seed={i}", f"optimizer.weight_decay=0.{i}"]) for i in (1, 2)]
    other = override(run, ["model.width=48", "model.heads=3"])
    finished = override(run, ["seed=3", "data.document_end=5"])
    growing = override(run, ["seed=4", "schedule.batch_ramp=[[4, 5]]"])
    sharing = sharing_module.sharing_graph(execution_order([run, *same, other, finished, growing]), 8)
    assert [set(names) for names in sharing.packs] == [{run_id(entry) for entry in (run, *same)}]


def test_packs_stay_whole_and_only_they_are_trained_as_packs(tmp_path: Path) -> None:
    """Sharing runs go in turn and first, packs in a process of their own, which says --pack."""
    trunk, pack = small_grid(), [override(small_grid()[0], [f"seed={i}", "model.width=48"]) for i in (5, 6, 7)]
    assert sharing_module.sharing_graph(execution_order(trunk)).branches
    assert launch(Store(tmp_path), "grid", [*trunk, *pack], CORPUS, LaunchOptions(command=TRAINER, pack=8)) == 0
    turns, packed = (tmp_path / "commands").read_text().splitlines()
    assert "--pack" not in turns and packed.endswith("--pack 8")
    assert all(run_id(run) in packed and run_id(run) not in turns for run in pack)
    assert not any(run_id(run) in packed for run in trunk)
    dealt = workers.assign_runs([*trunk, *pack], 2, [[run_id(run) for run in pack]])
    assert any({run_id(run) for run in pack} <= names for names in dealt)


def test_a_pack_that_dies_is_trained_in_turn_so_that_the_guilty_run_alone_fails(tmp_path: Path) -> None:
    pack = [override(small_grid()[0], [f"seed={i}"]) for i in (5, 6, 7)]
    (tmp_path / "behave.json").write_text(json.dumps({run_id(pack[1]): "die"}))
    store = Store(tmp_path)
    assert launch(store, "grid", pack, CORPUS, LaunchOptions(command=TRAINER, pack=8)) == 1
    statuses = [record.status for run in pack if (record := store.read(run_id(run)))]
    assert statuses == ["done", "failed", "done"]


def test_a_pack_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    for more in ({"separate": True}, {"engine": "gke"}):
        with pytest.raises(SweepError, match="--pack 4: must be 1 or more"):
            launch(Store(tmp_path), "grid", small_grid(), CORPUS, LaunchOptions(pack=4, **more))  # type: ignore[arg-type]
    with pytest.raises(SweepError, match="--pack -1: must be 1 or more"):
        sharing_module.sharing_graph(small_grid(), -1)


def test_a_processes_start_is_in_the_quote_once() -> None:
    from sweeps.cost.pace import worker_seconds

    planned = plan_sweep(designed("quickstart"), CORPUS)
    flat = {step_shape(run.config): 1e9 for run in planned.runs}
    by = Pace(shapes=flat, rates=[(0.0, 1.0)], compile_seconds=2.0, run_seconds=0.5)
    slow = dataclasses.replace(by, process_seconds=3.0)
    assert worker_seconds(planned.runs, slow) == pytest.approx(worker_seconds(planned.runs, by) + 3.0)
