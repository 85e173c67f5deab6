"""Health of a sweep in its status: normalised learning curves, and runs that left the band of the others."""

from __future__ import annotations

from typing import Any

from scaling.store.files import DamagedFileError
from scaling.store.record import Store

LISTED = 3  # largest number of runs that a line names
ENDED = ("done", "failed")
_trajectories: dict[tuple[str, str], tuple[Any, Any]] = {}  # of ended runs, with the stamp of their rows


def status_health(store: Store, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the health of a sweep in types of JSON (`scaling.store.curves.health`); empty before any run has a curve.

    Args:
        store: The store with the runs.
        rows: Rows of its runs in the status.
    """
    from scaling.store.curves import health  # here, because a sweep that has not started needs no NumPy

    rows = [row for row in rows if "sae" not in row]  # errors of autoencoders are no losses of models
    chosen = health.chosen_runs([row["state"] for row in rows])
    runs, trajectories = [], []
    for i in chosen:
        row = rows[i]
        key, stamp = (str(store.root), row["run_id"]), (row["state"], row.get("seconds"), row.get("loss"))
        if row["state"] in ENDED and _trajectories.get(key, (None,))[0] == stamp:
            run, trajectory = _trajectories[key][1]
        else:
            record = store.read_intact(row["run_id"], check_curve=True)  # names a curve that contradicts its record
            if record is None:
                continue
            run = health.RunState(row["run_id"], record.config, float(row["N"]), row["state"])
            try:
                trajectory = health.trajectory_of_rows(store.curve(row["run_id"]), run)
            except DamagedFileError as error:
                store.note_damaged(error)
                continue
            _trajectories[key] = stamp, (run, trajectory)
        if trajectory is not None:
            runs.append(run)
            trajectories.append(trajectory)
    return health.sweep_health(trajectories, runs).to_json() if trajectories else {}


def health_lines(health: dict[str, Any], limit: int = LISTED) -> list[str]:
    """Returns a line that names the runs that left the band, or says that none has; none without enough runs.

    Args:
        health: `health` of the status.
        limit: Largest number of named runs.
    """
    left = health.get("left_band", [])
    if not left:
        compared = health.get("compared", 0)
        return [f"learning curves of {compared:,} runs compared: none left the band"] if compared else []
    named = [f"{entry['run_id'][:12]} at step {entry['step']:,}: {entry['reason']}" for entry in left[:limit]]
    more = f" (and {len(left) - limit:,} more)" if len(left) > limit else ""
    return [f"left the band: {line}" for line in named[:-1]] + [f"left the band: {named[-1]}{more}"]
