"""What a run keeps in its store on its way: checkpoints, its curve, what was spent; and how it starts from them."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from scaling.distributed import collectives
from scaling.program import checkpoint
from scaling.store.lease import Lost
from scaling.store.record import Record
from scaling.training import validation
from scaling.training.run import Rows, Run


def mine(run: Run) -> None:
    """Before anything is written: Lost, on every host, where another process has taken the run over."""

    def asked() -> str:
        try:
            if run.lease is not None:
                run.lease.check()
        except Lost as by:
            return str(by)
        return ""

    if by := collectives.agree(asked):
        raise Lost(by)


def restore(run: Run) -> dict[str, Any]:
    """Takes the state and the curve of the newest checkpoint that loads, none where there is none; facts of it."""
    facts: dict[str, Any] = {}
    for step, found in ((step, Path(path)) for step, path in collectives.agree(lambda: candidates(run))):
        try:
            if not run.store.fetch(found):
                continue
            run.state, run.rows = checkpoint.load(found, run.compiled.abstract)
        except checkpoint.CheckpointError as error:
            if collectives.first():
                print(f"{error}; going on with an older one", file=sys.stderr)
                checkpoint.set_aside(found)
                run.store.drop(found)
            continue
        facts["started_from"] = {"step": step, "shared": found.parent == run.store.checkpoints}
        facts |= {"shared_steps": step} if found.parent == run.store.checkpoints else {}
        break
    else:
        facts["shared_steps"] = 0
    run.store.reset_curve(run.id, run.rows)
    run.written = len(run.rows)
    run.first = run.step
    return facts


def counted(about: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """A record's facts with those of its start.

    A checkpoint of the run's own shows steps that were computed, though its process was killed before it said so.
    """
    known, start = {**about, **facts}, facts.get("started_from", {"shared": True})
    if not start["shared"]:
        steps = max(known.get("steps_computed", 0), start["step"] - known.get("shared_steps", 0))
        known |= {"steps_computed": steps, "spent_before": {**known.get("spent_before", {}), "steps_computed": steps}}
    return known


def candidates(run: Run) -> list[tuple[int, str]]:
    """Steps and paths of the checkpoints that the run may start from, newest first; what is half written goes."""
    shared = run.store.checkpoints
    for folder in (run.own, shared):
        checkpoint.sweep_up(folder)
    folders = [run.own, shared] if run.placement.share else [run.own]
    return [(step, str(path)) for step, path in checkpoint.candidates(folders, run.config, run.store.entries)]


def spent(run: Run) -> Record:
    """The record with what has been spent on the run up to now, by this process and by those before it."""
    assert run.record is not None
    about, steps = run.record.about, run.step - run.first
    elapsed = (time.monotonic() - run.begun - run.examined) * run.share
    facts = {
        "steps_computed": about.get("steps_computed", 0) + steps,
        "seconds": round(about.get("seconds", 0.0) + elapsed, 3),
    }
    return dataclasses.replace(run.record, about={**about, **facts})


def report(run: Run) -> None:
    """Puts the new rows of the curve on disk and says where the run stands."""
    if run.written < len(run.rows):
        if not collectives.many():  # hosts report each at its own time, and hear of a loss in `pause`
            mine(run)
        run.store.append_curve(run.id, unwritten(run))
        run.say({"event": "step", "run_id": run.id, "step": run.step, "loss": run.rows[-1]["loss"]})


def unwritten(run: Run) -> Rows:
    """The rows of the curve since the last call, which the run's logs have now."""
    new, run.written = run.rows[run.written :], len(run.rows)
    if new:
        for log in run.logs:
            log.add(new)
    return new


def save(run: Run, folder: Path, step: int) -> Path:
    """Writes a checkpoint of the state after `step` steps."""
    mine(run)
    run.saved = time.monotonic()
    made = checkpoint.save(folder, run.config, step, run.state, run.rows)
    run.store.put(made)
    return made


def save_trunk(run: Run) -> None:
    """Keeps the end of a run that never decays, as a longer one comes by it, for that one to branch from."""
    mine(run)
    every, last = run.config.eval.every, run.rows[-1]
    planned = every and run.step % every == 0
    unmeasured = {name: value for name, value in last.items() if name not in validation.NAMES.values()}
    rows = [*run.rows[:-1], last if planned else unmeasured]
    run.store.put(checkpoint.save(run.store.checkpoints, run.config, run.step, run.state, rows))


def save_rolling(run: Run) -> None:
    """Writes a checkpoint that only this run needs and, once it is whole, removes the ones before."""
    newest = save(run, run.own, run.step)
    older = checkpoint.candidates([run.own], run.config, run.store.entries) if collectives.first() else []
    for step, old in older:
        if step < run.step and old != newest:
            shutil.rmtree(old, ignore_errors=True)
            run.store.drop(old)
    run.store.write(spent(run))


def seen(run: Run, step: int) -> int:
    """Training tokens of the first `step` steps."""
    return run.config.sequences(step) * run.config.data.length
