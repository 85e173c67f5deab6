"""The loop: one run from the newest checkpoint it may start from to its record."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.data import examples, tokens
from scaling.distributed import collectives
from scaling.distributed.sharding import local_rows, place
from scaling.evaluate.config import Asked
from scaling.program import multi_step
from scaling.program.step import Program, program
from scaling.store.lease import Lost
from scaling.store.record import Record, Store
from scaling.training import validation
from scaling.training.checkpointing import (
    counted,
    mine,
    report,
    restore,
    save,
    save_rolling,
    save_trunk,
    seen,
    spent,
    unwritten,
)
from scaling.training.claim import failed, leased, taken
from scaling.training.learning_rate import learning_rate
from scaling.training.run import Diverged, Run, Say, Stopped
from scaling.training.tracking import trackers

EVENT_SECONDS = 1.0  # between two reports of a running run


def train(
    config: RunConfig,
    store: Store,
    placement: Placement,
    *,
    sweep: str | None,
    say: Say,
    stop: Callable[[], bool],
    exam: Asked | None = None,
) -> Record:
    """Trains one run to its end, or to a stop, and returns its record (also written to the store).

    exam: what the model is asked after its steps; its figures are the same with and without.

    A run that is done or diverged already is returned as it is. Raises what went wrong where the
    run failed; the record says so too. Held: another process is at it; Lost: another has taken it over.
    """
    store.check_writable()
    store = copy.copy(store)
    store.writes = collectives.first()
    with ExitStack() as held:
        lease = leased(store, run_id(config), held)
        store.fetch_run(run_id(config))
        earlier = store.read(run_id(config))
        over = earlier is not None and earlier.status in ("done", "diverged")
        if collectives.gather(over)[0] and earlier is not None:
            return earlier
        begun = time.monotonic()
        record = taken(config, store, earlier, sweep)
        try:
            run, facts = begin(config, store, placement, say, stop)
            run.record = record = dataclasses.replace(record, about=counted(record.about, facts))
            run.begun, run.lease, run.exam = begun, lease, exam
            store.write(record)
            run.logs = trackers.opened(store, config, placement, run.rows, record.sweep)
            held.callback(lambda: trackers.end(run.logs, record))
            record = finish(run)
            mine(run)
        except Lost:  # what becomes of the run is another's to say
            raise
        except Exception as error:
            reason = collectives.told(error)
            if lease is not None:
                lease.check()
            record = failed(record, reason)
            store.write(record)
            raise reason from error
        store.write(record)
        return record


def begin(
    config: RunConfig, store: Store, placement: Placement, say: Say, stop: Callable[[], bool]
) -> tuple[Run, dict[str, Any]]:
    """The run at the newest checkpoint that loads, or at step 0; and facts for its record."""
    token_file, windows, facts = corpus(config, store)
    compiled, fresh = program(config, placement, in_blocks=True)
    smaller = {
        size: program(dataclasses.replace(config, batch=size, schedule=ScheduleConfig()), placement, in_blocks=True)
        for size, _ in config.schedule.batch_ramp
    }
    ramp = {size: one for size, (one, _) in smaller.items()}
    followed = examples.followed(token_file, config)
    run = Run(config, store, placement, compiled, token_file, say, stop, windows, followed, ramp)
    compiling = sum(one.compile_seconds for one, now in ((compiled, fresh), *smaller.values()) if now)
    facts |= {"compile_seconds": round(compiling, 3)}
    facts |= {"hosts": jax.process_count(), "devices": compiled.mesh.size, "mesh": dict(compiled.mesh.shape)}
    facts |= {"remat": placement.remat}
    collectives.gather("compiled")  # before the first collective: they wait less long than a compiler may take
    facts |= restore(run)
    if not run.state:
        run.state = compiled.init(config.seed)
    return run, facts


def corpus(config: RunConfig, store: Store) -> tuple[tokens.TokenFile, np.ndarray, dict[str, Any]]:
    """The run's token file, its validation windows, and facts of them; DataError where it cannot read them."""
    store.fetch_tokens(config.data.tokens)
    path = tokens.find_tokens(store.token_files, config.data.tokens)
    token_file = tokens.open_tokens(path)
    examples.check(token_file, config)
    windows = examples.held_out(token_file, config)
    facts: dict[str, Any] = {"tokens_file": path.name, "corpus": token_file.corpus, "tokenizer": token_file.tokenizer}
    return token_file, windows, facts | ({"corpus_facts": token_file.facts} if token_file.facts else {})


def finish(run: Run) -> Record:
    """Trains to the end, or to a stop; the record with the run's figures."""
    began = time.monotonic()
    error: Diverged | Stopped | None = None
    run.say({"event": "start", "run_id": run.id, "steps": run.config.steps, "from": run.first})
    try:
        loop(run)
    except (Diverged, Stopped) as reached:
        error = reached
    mine(run)
    return ended(run, error, time.monotonic() - began)


def ended(run: Run, error: Diverged | Stopped | None, elapsed: float) -> Record:
    """The record of a run that stands where it ends, with its figures; elapsed: seconds of its steps."""
    steps, record, elapsed = run.step - run.first, spent(run), elapsed - run.examined
    facts: dict[str, Any] = {}
    if steps:
        facts["tokens_per_second"] = round((seen(run, run.step) - seen(run, run.first)) / elapsed, 1)
    if steps and run.waited is not None:  # as a share of the time; the device may be computing meanwhile
        facts["input_wait"] = round(run.waited / elapsed, 6)
    if isinstance(error, Stopped):
        return dataclasses.replace(record, status="stopped", about={**record.about, **facts})
    final: dict[str, float] = {}
    if run.rows:
        last = run.rows[-1]
        final = {"step": last["step"], "tokens": seen(run, run.step)}
        final["train_loss"] = last["loss"]
        final |= validation.final(last)
    unwritten(run)
    run.store.finish_curve(run.id, run.rows)
    if error is not None:
        facts |= {"error": str(error), "diverged_at": error.step}
    status = "diverged" if error is not None else "done"
    return dataclasses.replace(record, status=status, final=final, about={**record.about, **facts})


def loop(run: Run) -> None:
    """Steps, evaluations and checkpoints from where the run stands to its end. Raises Diverged or Stopped."""
    with ThreadPoolExecutor(1) as reader:
        steps(run, reader)
    if run.step == run.config.decay_start and run.placement.keep_branch:
        save_trunk(run)
    if "val_loss" not in run.rows[-1]:  # it began where it ends: at a longer run's checkpoint, which was not measured
        run.rows[-1] |= held_out(run)
    report(run)
    save_rolling(run)


def steps(run: Run, reader: ThreadPoolExecutor) -> None:
    """Every step that is left; the next batches are read while the device computes."""
    config, spoken, step = run.config, 0.0, run.step
    coming = reader.submit(read_block, run, step)
    while step < config.steps:
        if 0 < step == config.decay_start and run.placement.keep_branch:
            land(run)
            save(run, run.store.checkpoints, step)
        waiting = time.monotonic()
        batch, count = coming.result()
        coming = reader.submit(read_block, run, step + count)
        dispatched = dispatch(run, step, count, batch, waiting)
        land(run)
        run.flight = (step + 1, count, dispatched)
        step += count
        last = step == config.steps
        if last or (config.eval.every and step % config.eval.every == 0):
            land(run)
            run.rows[-1] |= held_out(run)
        if run.exam is not None and step in run.exam.steps:
            land(run)
            examine(run)
        if run.written < len(run.rows) and time.monotonic() - spoken > EVENT_SECONDS:
            spoken = time.monotonic()
            report(run)
        pause(run, last)


def program_at(run: Run, step: int) -> Program:
    """The program of the step after `step` finished ones."""
    return run.ramp.get(run.config.batch_at(step), run.compiled)


def read_block(run: Run, step: int) -> tuple[np.ndarray, int]:
    """The batches that follow `step` finished steps, (S, B, X) or of one step (B, X), and of how many steps they are.

    A block that is cut short is filled up with zeros, which are not looked at.
    """
    block = program_at(run, step).block
    count = multi_step.span(run.config, step, block, run.exam.steps if run.exam is not None else ())
    if block == 1 or not count:
        return read(run, step, run.compiled.batch_sharding), count
    size = run.config.batch_at(step)
    rows = run.config.sequences(step) + np.arange(count * size, dtype=np.int64)
    read_SBX = examples.training(run.tokens, run.config, rows).reshape(count, size, -1)
    return np.pad(read_SBX, ((0, block - count), (0, 0), (0, 0))), count


def dispatch(run: Run, step: int, count: int, batch: np.ndarray, waiting: float) -> dict[str, jax.Array]:
    """Starts the next `count` steps; their figures to come. waiting: since when the loop stands still."""
    compiled, config = program_at(run, step), run.config
    rates = np.zeros(compiled.block, np.float32)
    rates[:count] = [learning_rate(config, step + i) for i in range(count)]
    given: tuple[Any, ...] = (batch, rates, np.int32(count))
    if compiled.block == 1:
        given = (place(batch, compiled.batch_sharding, config.batch_at(step)), rates[0])
    run.waited = (run.waited or 0.0) + time.monotonic() - waiting
    run.state, metrics = compiled.step(run.state, *given)
    return metrics


def pause(run: Run, last: bool) -> None:
    """Saves where it is time to, on every host at the same step; Stopped where one was asked to stop."""
    due = time.monotonic() - run.saved > run.placement.save_seconds
    lost = run.lease is not None and run.lease.lost
    asked = collectives.LOST_RUN if lost else collectives.STOP if run.stop() else collectives.SAVE if due else 0
    word = run.word.exchange(asked)
    if word == collectives.LOST_RUN:
        raise Lost(f"run {run.id[:12]}: another process has taken it over")
    if last or not word:
        return
    land(run)
    if word == collectives.STOP:
        report(run)
    save_rolling(run)
    if word == collectives.STOP:
        raise Stopped


def read(run: Run, step: int, sharding: NamedSharding | None = None) -> np.ndarray:
    """The batch that follows `step` finished steps: none of its sequences is read before or again in an epoch.

    sharding: of the batch; what lies on this host is read alone.
    """
    config, size = run.config, run.config.batch_at(step)
    mine = np.arange(size, dtype=np.int64) if sharding is None else local_rows(sharding, size)
    rows = config.sequences(step) + mine
    return examples.training(run.tokens, config, rows)


def land(run: Run) -> None:
    """Takes in the figures of the steps in flight; Diverged where one's are not finite."""
    if run.flight is None:
        return
    (first, count, metrics), run.flight = run.flight, None
    figures = {name: np.atleast_1d(values) for name, values in jax.device_get(metrics).items()}
    for i in range(count):
        row = {"step": first + i, **{name: float(values[i]) for name, values in figures.items()}}
        if not all(np.isfinite(value) for value in row.values()):
            raise Diverged(first + i)
        run.rows.append(row)


def held_out(run: Run) -> dict[str, float]:
    """What is measured of the run where it stands; Diverged where that is not finite."""
    figures = validation.figures(run)
    if not all(map(np.isfinite, figures.values())):
        raise Diverged(run.step)
    return figures


def examine(run: Run) -> None:
    """Asks the model as it stands, and keeps what it says; a task that goes wrong stops neither others nor training."""
    from scaling.evaluate.run import ask, warn
    from scaling.inference.load import live

    assert run.exam is not None and run.record is not None
    begun = time.monotonic()
    report(run)
    found, wrong = ask(live(run.store, run.record, run.step, run.state["params"]), run.store, run.exam)
    warn(wrong)
    run.record = dataclasses.replace(run.record, evals={**run.record.evals, **found})
    run.examined += time.monotonic() - begun
