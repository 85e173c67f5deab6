"""Packs: many runs of one shape trained as one program, each with its own record, curve and checkpoints.

What may differ between them: learning rate, schedule, length, seed, token file, weight decay, evaluation. A run's
checkpoints are its own, so it goes on alone or in another pack where this one stopped. Numbers equal those of
the run alone to rounding, and those of the same pack bit for bit, whatever the other runs come to.

Axes: R runs (places of the pack), B batch, L positions.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.data import examples
from scaling.evaluate.config import Asked
from scaling.store.lease import Held
from scaling.store.record import Record, Store
from scaling.training import checkpointing, validation
from scaling.training import loop as loop_module
from scaling.training.claim import failed, leased, taken
from scaling.training.learning_rate import learning_rate
from scaling.training.loop import EVENT_SECONDS, corpus, ended
from scaling.training.packs.program import RUN, PackProgram, pack_program
from scaling.training.packs.state import Pack, end, ours, per_run, said, state_of
from scaling.training.run import Diverged, Run, Say, Stopped
from scaling.training.tracking import trackers


def train_pack(
    configs: Sequence[RunConfig],
    store: Store,
    placement: Placement,
    *,
    sweep: str | None = None,
    say: Say = lambda event: None,
    stop: Callable[[], bool] = lambda: False,
    exam: Asked | None = None,
) -> list[Record]:
    """Trains runs of one shape together; their records, in order, each also in the store.

    A run that cannot begin (no token file) fails alone; one that another process holds, or takes over, is left to
    it and has no record here. What stops all raises, once every record says so. ConfigError where the runs do
    not go together.

    exam: what each model is asked after its steps, as by train.
    """
    store.check_writable()
    begun, by_id = time.monotonic(), {run_id(config): config for config in configs}
    compiled, fresh = pack_program(list(by_id.values()), placement)
    numbers = {name: [getattr(c.optimizer, name) for c in by_id.values()] for name in compiled.numbers}
    on_devices = {name: per_run(compiled, of) for name, of in numbers.items()}
    facts = facts_of(compiled, len(by_id), fresh, placement)
    pack = Pack(compiled, on_devices, store, placement, sweep, say, stop, facts, begun, exam)
    try:
        for place, config in enumerate(by_id.values()):
            begin(pack, place, config)
        if pack.runs:
            stack(pack, [config.seed for config in by_id.values()])
            loop(pack)
    except Exception as error:
        for place, run in list(pack.runs.items()):
            assert run.record is not None
            end(pack, place, failed(run.record, error))
        raise
    finally:
        for lock in pack.locks.values():
            lock.close()
    return [pack.records[run_id(config)] for config in configs if run_id(config) in pack.records]


def facts_of(compiled: PackProgram, runs: int, fresh: bool, placement: Placement) -> dict[str, Any]:
    """What each run's record says of the pack; what all have cost together is divided by them."""
    return {
        "compile_seconds": round(compiled.compile_seconds / runs if fresh else 0.0, 3),
        "devices": 1,
        "mesh": {axis: size for axis, size in compiled.mesh.shape.items() if axis != RUN},
        "remat": placement.remat,
        "pack": {"runs": runs, "places": compiled.runs, "devices": compiled.mesh.size},
    }


def begin(pack: Pack, place: int, config: RunConfig) -> None:
    """Takes a run in hand and restores it from its newest checkpoint, or notes why it has none to train."""
    lock, store = ExitStack(), pack.store
    record = Record(run_id=run_id(config), config=config, status="failed")
    try:
        lease = leased(store, record.run_id, lock)
        store.fetch_run(record.run_id)
        earlier = store.read(record.run_id)
        if earlier is not None and earlier.status in ("done", "diverged"):
            pack.records[record.run_id] = earlier
            said(pack, earlier)
            return
        record = taken(config, store, earlier, pack.sweep)
        tokens, windows, known = corpus(config, store)
        followed = examples.followed(tokens, config)
        run = Run(config, store, pack.placement, pack.compiled, tokens, pack.say, pack.stop, windows, followed)
        run.lease, run.begun, run.share = lease, pack.begun, pack.compiled.mesh.size / pack.compiled.runs
        known |= {**pack.facts, **checkpointing.restore(run)}
        run.record = dataclasses.replace(record, about=checkpointing.counted(record.about, known))
        store.write(run.record)
        run.logs = trackers.opened(store, config, pack.placement, run.rows, record.sweep)
        pack.say({"event": "start", "run_id": run.id, "steps": config.steps, "from": run.first})
    except Held as by:
        pack.say({"event": "waits", "run_id": record.run_id, "why": f"{by}: left to it"})
    except Exception as error:
        record = failed(record, error)
        store.write(record)
        pack.records[record.run_id] = record
        said(pack, record)
    else:
        pack.runs[place], pack.at[place], pack.locks[place] = run, run.first, lock.pop_all()
    finally:
        lock.close()


def stack(pack: Pack, seeds: list[int]) -> None:
    """The state of all places on their devices: those with a checkpoint from there, the others from their seeds."""
    restored = {place: run.state for place, run in pack.runs.items() if run.state}
    compiled = pack.compiled
    places: Any = np.resize(np.asarray(seeds, np.uint32), compiled.runs)
    pack.state = compiled.init(places)
    if not restored:
        return
    leaves, tree = jax.tree.flatten(pack.state)
    ones = {place: jax.tree.leaves(state) for place, state in restored.items()}
    for i, leaf in enumerate(leaves):
        whole = np.array(leaf)
        for place, one in ones.items():
            whole[place] = np.asarray(one[i])
        leaves[i] = jax.device_put(whole, compiled.batch_sharding)
    pack.state = jax.tree.unflatten(tree, leaves)
    for run in pack.runs.values():
        run.state = {}


def loop(pack: Pack) -> None:
    """Steps, evaluations and checkpoints until every run has ended; the next batches are read meanwhile."""
    spoken, pack.stepping = 0.0, time.monotonic()
    finish(pack, [place for place, run in pack.runs.items() if run.first == run.config.steps])
    if not pack.runs:
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, pack, dict(pack.runs), dict(pack.at))
        while pack.runs:
            keep_branches(pack)
            batch_RBL = coming.result()
            coming = reader.submit(read, pack, dict(pack.runs), {place: step + 1 for place, step in pack.at.items()})
            dispatch(pack, batch_RBL)
            measure(pack)
            examine(pack)
            if time.monotonic() - spoken > EVENT_SECONDS:
                spoken = time.monotonic()
                for place, run in list(pack.runs.items()):
                    with ours(pack, place):
                        checkpointing.report(run)
            if pack.runs and pack.stop():
                save_all(pack)
                for place, run in list(pack.runs.items()):
                    with ours(pack, place):
                        checkpointing.report(run)
                    end(pack, place, ended(run, Stopped(), time.monotonic() - pack.stepping))
            elif pack.runs and time.monotonic() - pack.saved > pack.placement.save_seconds:
                save_all(pack)


def read(pack: Pack, runs: dict[int, Run], at: dict[int, int]) -> np.ndarray:
    """The batch of each run that follows its step; zeros in idle places."""
    some = next(iter(runs.values()))
    out_RBL = np.zeros((pack.compiled.runs, some.config.batch, some.config.data.parts.columns), np.int32)
    for place, run in runs.items():
        out_RBL[place] = loop_module.read(run, at[place])
    return out_RBL


def dispatch(pack: Pack, batch_RBL: np.ndarray) -> None:
    """Starts the next step of every run, then takes in the figures of the one before."""
    compiled, rates = pack.compiled, np.zeros(pack.compiled.runs)
    for place, run in pack.runs.items():
        rates[place] = learning_rate(run.config, pack.at[place])
    placed = jax.device_put(batch_RBL, compiled.batch_sharding)
    pack.state, metrics = compiled.step(pack.state, placed, per_run(compiled, rates), pack.numbers)
    land(pack)
    for place in pack.runs:
        pack.at[place] += 1
    pack.flight, pack.metrics = {place: pack.at[place] for place in pack.runs}, metrics


def land(pack: Pack) -> None:
    """Takes in the figures of the steps in flight; a run in which they are not finite ends as diverged."""
    flight, pack.flight = pack.flight, {}
    figures = jax.device_get(pack.metrics) if flight else {}
    for place, step in flight.items():
        if (run := pack.runs.get(place)) is None:  # taken over by another process
            continue
        run.flight = (step, 1, {name: values_R[place] for name, values_R in figures.items()})
        try:
            loop_module.land(run)
        except Diverged as error:
            end(pack, place, loop_module.ended(run, error, time.monotonic() - pack.stepping))


def measure(pack: Pack) -> None:
    """The held-out loss of the runs whose turn it is; those that have done their last step end."""
    last = [place for place, run in pack.runs.items() if pack.at[place] == run.config.steps]
    turn = [place for place, run in pack.runs.items() if every(run) and pack.at[place] % every(run) == 0]
    if due := {*last, *turn}:
        land(pack)
        held_out(pack, sorted(due & set(pack.runs)))
        finish(pack, last)


def examine(pack: Pack) -> None:
    """Asks the models that stand at a step after which they shall be."""
    if pack.exam is None:
        return
    due = [place for place in pack.runs if pack.at[place] in pack.exam.steps]
    if due:
        land(pack)
    for place in due:
        if run := pack.runs.get(place):
            run.exam, run.state = pack.exam, state_of(pack, place)
            with ours(pack, place):
                loop_module.examine(run)
            run.state = {}


def every(run: Run) -> int:
    return run.config.eval.every


def held_out(pack: Pack, due: list[int]) -> None:
    """Puts what is measured of them into the rows of the runs; see train.held_out."""
    rows = {place: validation.sets(pack.runs[place]) for place in due}
    found: dict[int, dict[str, float]] = {place: {} for place in due}
    for name in next(iter(rows.values()), ()):
        for place, figures in means(pack, name, {place: rows[place][name] for place in due}).items():
            found[place] |= figures
    for place, figures in found.items():
        run = pack.runs[place]
        if all(map(np.isfinite, figures.values())):
            run.rows[-1] |= figures
        else:
            end(pack, place, loop_module.ended(run, Diverged(run.step), time.monotonic() - pack.stepping))


def means(pack: Pack, name: str, rows: dict[int, np.ndarray]) -> dict[int, dict[str, float]]:
    """Mean scores of each place's set of rows, all places computed at once."""
    compiled, size = pack.compiled, next(run.config.batch for run in pack.runs.values())
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, max(map(len, rows.values())), size):
        filled_RBL = np.zeros((compiled.runs, size, *next(iter(rows.values())).shape[1:]), np.int32)
        for place, of in rows.items():
            filled_RBL[place, : len(of[start : start + size])] = of[start : start + size]
        placed = jax.device_put(filled_RBL, compiled.batch_sharding)
        scores = compiled.evaluate(pack.state["params"], placed)
        parts.append({score: np.asarray(each_RB) for score, each_RB in scores.items()})

    def of_place(place: int) -> validation.Scores:
        return lambda start, end: {score: each_RB[place] for score, each_RB in parts[start // size].items()}

    return {place: validation.means(name, of, size, of_place(place)) for place, of in rows.items()}


def finish(pack: Pack, places: list[int]) -> None:
    """Saves and ends runs that have done their last step."""
    held_out(pack, [p for p in places if p in pack.runs and "val_loss" not in pack.runs[p].rows[-1]])
    for place in places:
        run = pack.runs.get(place)
        if run is None:  # diverged
            continue
        run.state = state_of(pack, place)
        with ours(pack, place):
            if run.step == run.config.decay_start and pack.placement.keep_branch:
                checkpointing.save_trunk(run)
            checkpointing.report(run)
            checkpointing.save_rolling(run)
        end(pack, place, loop_module.ended(run, None, time.monotonic() - pack.stepping))


def keep_branches(pack: Pack) -> None:
    """Keeps the checkpoints that longer runs may branch from, of runs that stand where their decay starts."""
    due = [p for p, run in pack.runs.items() if 0 < pack.at[p] == run.config.decay_start and pack.placement.keep_branch]
    if due:
        land(pack)
    for place in due:
        if run := pack.runs.get(place):
            run.state = state_of(pack, place)
            with ours(pack, place):
                checkpointing.save(run, pack.store.checkpoints, run.step)
            run.state = {}


def save_all(pack: Pack) -> None:
    """A checkpoint of each run."""
    land(pack)
    for place, run in list(pack.runs.items()):
        run.state = state_of(pack, place)
        with ours(pack, place):
            checkpointing.save_rolling(run)
        run.state = {}
    pack.saved = time.monotonic()
