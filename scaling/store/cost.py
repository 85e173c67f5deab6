"""Cost of a run so far, including a run that is still running, and what it tells about its machine.

STORE/runs/RUN_ID/timing.json     facts of `about` that change while a run is running (MACHINE_FACTS), written every few
                                  seconds; they are in the record once the run has ended
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scaling.store.curves.curve_files import SECONDS
from scaling.store.damaged import newest_row
from scaling.store.files import DamagedFileError, read_json, write_json
from scaling.store.record import Record, Store
from scaling.store.verification.fields import wrong_field

TIMING_FILE = "timing.json"
WALL_TIME_PARTS = {  # of `timing`, in seconds; their sum is `wall`
    "steps": "computing the steps that led to the state that the run has, or ended with",
    "lost": "computing steps that a later process computed again",
    "input": "waiting for a batch after the devices had finished the step before",
    "validation": "computing the validation loss",
    "evaluation": "evaluating tasks",
    "checkpoint": "waiting for checkpoints",
    "compile": "compiling programs, or reading compiled ones",
    "start": "the rest of each process before its first step: imports, opening the corpus, restoring a checkpoint",
    "between": "from the last note of a process to the start of the next one",
}
TIMING_FACTS = {  # of all processes of a run
    "timing": "seconds since the first start of the run: `wall`, and its parts",
    "timed_until": "time of day of the end of these seconds, in UTC",
    "goodput": "`steps` / `wall` of `timing`",
    "attempts": "processes that have trained the run",
    "checkpoints": "`saved`, the number of complete checkpoints; `write_seconds`, from the start of each save until it "
    "was complete; `wait_seconds`, how long training waited for them",
    "slow_steps": "steps that took more than ten times the median, and more than a second",
}
PROCESS_FACTS = {  # of the last process
    "mfu": "model FLOPs utilisation: model FLOPs per second of `steps` and `input`, divided by `peak_flops_per_second`",
    "peak_flops_per_second": "peak rate of all devices of the run in FLOP/s",
    "peak_source": "`published` by the vendor, or `measured` with a matrix product",
    "memory_peak_bytes": "largest memory in use: of a device of the first host, or of its process",
    "memory_peak_of": "`device`, or `process` where devices do not report it",
}
MACHINE_FACTS = {**TIMING_FACTS, **PROCESS_FACTS}


def cost_so_far(store: Store, record: Record) -> dict[str, float]:
    """Returns steps and device seconds of a run up to now, including steps that were not saved.

    Args:
        store: The store of the run.
        record: Its record.

    Returns:
        `steps_computed` and `seconds` (of its share of the devices), if known.
    """
    about = record.about
    saved: dict[str, float] = {name: about[name] for name in ("steps_computed", "seconds") if name in about}
    is_running = record.status == "running" and {"started_from", "compile_seconds"} & set(about)
    row = newest_row(store, record.run_id) if is_running else None
    elapsed = process_seconds(store, record, row) if row else None
    if row is None or elapsed is None:
        return saved
    before, pack = about.get("spent_before", {}), about.get("pack", {"devices": 1, "places": 1})
    steps = row["step"] - about.get("started_from", {}).get("step", 0)
    this_process = {"steps_computed": steps, "seconds": elapsed * pack["devices"] / pack["places"]}
    return {name: max(saved.get(name, 0), before.get(name, 0) + max(0, value)) for name, value in this_process.items()}


def process_seconds(store: Store, record: Record, row: dict[str, float]) -> float | None:
    """Returns the seconds that the last process of a run spent on it up to the newest row of its curve, if known.

    The row has them by a clock that does not jump. Rows of earlier versions do not: for these, the time of the file and
    the start of the process are compared, which are times of day.

    Args:
        store: The store of the run.
        record: Its record.
        row: The newest row of its curve.
    """
    if SECONDS in row:
        return row[SECONDS]
    started, written = record.about.get("started"), store.last_write_time(record.run_id)
    if started is None or written is None:
        return None
    return max(0.0, written - datetime.fromisoformat(started).timestamp())


def write_timing(store: Store, run_id: str, facts: dict[str, Any]) -> None:
    """Writes what a running run tells about its machine.

    Args:
        store: The store.
        run_id: Id of the run.
        facts: Facts of `MACHINE_FACTS`.
    """
    if store.writes:
        path = store.run_dir(run_id) / TIMING_FILE
        write_json(path, facts)
        store.upload(path)


def remove_timing(store: Store, run_id: str) -> None:
    """Removes the file of `write_timing`, once the record has its facts.

    Args:
        store: The store.
        run_id: Id of the run.
    """
    path = store.run_dir(run_id) / TIMING_FILE
    if store.writes and path.exists():
        path.unlink(missing_ok=True)
        store.discard(path)


def machine_facts(store: Store, run_id: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a run tells about its machine: the newest facts of its record and of its running process.

    Args:
        store: The store.
        run_id: Id of the run.
        about: The `about` of its record.

    Returns:
        Those of `MACHINE_FACTS` that are known. A damaged file is added to `store.damaged` and not used.
    """
    recorded = {name: about[name] for name in MACHINE_FACTS if name in about}
    path = store.run_dir(run_id) / TIMING_FILE
    try:
        noted = read_json(path)
        if not isinstance(noted, dict) or (problem := wrong_field({"about": noted})):
            raise DamagedFileError(path, "not an object" if not isinstance(noted, dict) else problem)
    except FileNotFoundError:
        return recorded
    except DamagedFileError as error:
        store.note_damaged(error)
        return recorded
    noted = {name: noted[name] for name in MACHINE_FACTS if name in noted}
    return noted if _noted_at(noted) >= _noted_at(recorded) else recorded


def _noted_at(facts: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(facts["timed_until"]).timestamp() if "timed_until" in facts else 0.0
