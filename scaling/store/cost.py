"""Cost of a run so far, including a run that is still running."""

from __future__ import annotations

from datetime import datetime

from scaling.store.curve_files import SECONDS
from scaling.store.damaged import newest_row
from scaling.store.record import Record, Store


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
