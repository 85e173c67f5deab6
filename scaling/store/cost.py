"""Cost of a run so far, including a run that is still running."""

from __future__ import annotations

from datetime import datetime

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
    row = store.last_row(record.run_id) if is_running else None
    written = store.last_write_time(record.run_id) if row else None
    if row is None or written is None:
        return saved
    before, pack = about.get("spent_before", {}), about.get("pack", {"devices": 1, "places": 1})
    steps = row["step"] - about.get("started_from", {}).get("step", 0)
    seconds = (written - datetime.fromisoformat(about["started"]).timestamp()) * pack["devices"] / pack["places"]
    this_process = {"steps_computed": steps, "seconds": seconds}
    return {name: max(saved.get(name, 0), before.get(name, 0) + max(0, value)) for name, value in this_process.items()}
