"""Whether the learning curves of the sweeps of a store coincide, and which runs leave the band of the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from scaling.store.curves.health import RunState, SweepHealth, chosen_runs, sweep_health, trajectory_of_rows
from scaling.store.record import Record

MAX_RUNS = 300  # largest number of runs of a sweep that are compared


def learning_curve_health(
    store: str | Path | StoreSnapshot, records: Iterable[Record] | None = None
) -> dict[str, SweepHealth]:
    """Compares the learning curves of each sweep of a store (`scaling.store.curves.health`).

    Args:
        store: The store, or its folder.
        records: Its records; None: all of the store.

    Returns:
        The result of each sweep that has learning curves, by its name; runs without a sweep have the name "".
    """
    snapshot = as_snapshot(store)
    sweeps: dict[str, list[Record]] = {}
    for record in snapshot.records() if records is None else records:
        sweeps.setdefault(record.sweep or "", []).append(record)
    out = {}
    for name, members in sorted(sweeps.items()):
        members.sort(key=lambda record: (record.params.get("total", 0), record.config.steps, record.run_id))
        chosen = [members[i] for i in chosen_runs([record.status for record in members], MAX_RUNS)]
        runs = [RunState(r.run_id, r.config, float(r.params["total"]), r.status) for r in chosen if "total" in r.params]
        trajectories = [trajectory_of_rows(snapshot.curve(run.run_id), run) for run in runs]
        found = [trajectory for trajectory in trajectories if trajectory is not None]
        if found:
            out[name] = sweep_health(found, runs)
    return out
