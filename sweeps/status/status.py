"""What a sweep has come to: each run's state, what it has cost so far, and what its losses are drawn against."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import from_dict
from scaling.models.counts import parameters
from scaling.store.files import alive as process_alive
from scaling.store.record import Record, Store
from sweeps.cost.compiled_time import longer
from sweeps.cost.quote import Slice
from sweeps.cost.spend import MFU, cost, spending, until
from sweeps.errors import SweepError
from sweeps.planning.budget import achieved
from sweeps.planning.plan import ENDED, shared_steps
from sweeps.status import read_many
from sweeps.status.axes import axes, place

LOG_LINES = 5

STATES = ("done", "running", "waiting", "stopped", "interrupted", "diverged", "failed")


def known_sweeps(store: Store) -> list[str]:
    """Names of the sweeps in a store."""
    return sorted(path.stem for path in (store.root / "sweeps").glob("*.json"))


def status(
    store: Store,
    sweep: str,
    *,
    on: Slice | None = None,
    mfu: float = MFU,
    known: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """State of each run (sizes, what there is of loss, step, tokens/s, seconds left, error, log), and the cost so far.

    on, mfu: the slice whose hours and dollars are meant. known: what an earlier call has kept of the runs that had
    ended; those whose records are as they were are not read again.
    """
    entries = store.sweep(sweep)
    if entries is None:
        names = ", ".join(known_sweeps(store)) or "none"
        raise SweepError(f"sweep {sweep!r} is not in store {store.root}: known are {names}")
    stamps = store.stamps() if known is not None else {}
    known = {} if known is None else known
    entries, runs = planned(entries), []
    drawn = axes(entries)
    read = {name for name, (stamp, _) in known.items() if stamp == stamps.get(name)}
    found = read_many.each(store.facts, [entry["run_id"] for entry in entries if entry["run_id"] not in read])
    for entry in entries:
        name = entry["run_id"]
        if name in read:
            row = known[name][1]
        else:
            record = next(found)
            row = run_status(store, entry, record or {})
            if row["state"] in ENDED and name in stamps:
                known[name] = (stamps[name], row)
        row["x"], row["by"] = place(entry, drawn)  # of what is swept now, however long a run has ended
        runs.append(row)
    counts = {state: sum(run["state"] == state for run in runs) for state in STATES}
    more = beyond_mfu(store, entries, on, mfu) if on else 0.0
    return {"sweep": sweep, "counts": counts, "cost": cost(runs, on, mfu, more), "axes": drawn, "runs": runs}


def beyond_mfu(store: Store, entries: list[dict[str, Any]], on: Slice, mfu: float) -> float:
    """Seconds that the sweep's steps take beyond its FLOPs at the MFU, where the compiler has said so."""
    work = ((e["config"], e["config"]["steps"] - e["from"], e["C"] - until(e, e["from"])) for e in entries)
    return longer(store, work, on, mfu)


def planned(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A sweep's runs with what was planned of each; worked out here for a sweep that was written without."""
    if all("C" in entry for entry in entries):
        return entries
    configs = [from_dict(RunConfig, entry["config"]) for entry in entries]
    starts = shared_steps(configs)
    return [
        entry | {"N": parameters(c.model)["total"], "D": c.tokens, "C": achieved(c), "from": step}
        for entry, c, step in zip(entries, configs, starts, strict=True)
    ]


def run_status(store: Store, entry: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """One run of a sweep, from its record as found; its config and its curve are looked at only while it grows."""
    row: dict[str, Any] = {"run_id": entry["run_id"], "state": "waiting", "N": entry["N"], "D": entry["D"]}
    row["C"], row["flops_planned"] = entry["C"], entry["C"] - until(entry, entry["from"])
    config = entry["config"]
    row |= {"width": config["model"]["width"], "layers": config["model"]["layers"], "steps": config["steps"]}
    if entry.get("budget") is not None:
        row["budget"] = entry["budget"]
    about, final = found.get("about", {}), found.get("final", {})
    row["state"] = found.get("status", "waiting")
    if row["state"] in ("running", "stopped"):
        record = store.read(row["run_id"])
        if record is not None:
            row["state"] = record.status if record.status != "running" or alive(record, store) else "interrupted"
            row |= progress(store, record)
            about = about | store.spent(record)
    row |= spending(entry, about, row["state"], row.get("step"))
    if "loss" in final:
        row["loss"] = final["loss"]
    row |= {key: about[key] for key in ("error", "seconds", "host") if key in about}
    if row["state"] == "failed" and (log := last_lines(store, row["run_id"], about)):
        row["log"] = log
    return row


def last_lines(store: Store, run_id: str, about: dict[str, Any]) -> list[str]:
    """The last lines that a run's process said, where they have been kept: in its record, or in its folder."""
    kept = about.get("log")
    if kept is None:
        path = store.run_dir(run_id) / "log.txt"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            kept = file.read().decode("utf-8", "replace")
    lines = kept.splitlines() if isinstance(kept, str) else [str(line) for line in kept]
    return [line.rstrip() for line in lines if line.strip()][-LOG_LINES:]


def alive(record: Record, store: Store) -> bool:
    """Whether the process that wrote a running record still runs; another machine's, unless its lease is silent.

    That takes several looks, as of `--watch`: one cannot tell.
    """
    pid, host = record.about.get("pid"), record.about.get("host")
    if pid is None or (host is not None and host != socket.gethostname()):
        return not store.abandoned(record.run_id)
    if not process_alive(pid):
        return False
    command = Path(f"/proc/{pid}/cmdline")  # a number may have gone to another program since
    return not command.exists() or b"train" in command.read_bytes()


def progress(store: Store, record: Record) -> dict[str, Any]:
    """Step, training loss, tokens a second and seconds left of a run under way, where they can be told."""
    last = store.last_row(record.run_id)
    if last is None:
        return {}
    out: dict[str, Any] = {"step": int(last["step"])}
    if "loss" in last:
        out["train_loss"] = last["loss"]
    started, written = record.about.get("started"), store.last_written(record.run_id)
    if record.status != "running" or started is None or written is None:
        return out
    took = written - datetime.fromisoformat(started).timestamp() - record.about.get("compile_seconds", 0.0)
    first = record.about.get("started_from", {}).get("step", 0)
    steps = out["step"] - first
    if took > 0 and steps > 0:
        config = record.config
        seen = config.sequences(out["step"]) * config.data.length
        out["tokens_per_second"] = (seen - config.sequences(first) * config.data.length) / took
        out["seconds_left"] = (config.tokens - seen) / out["tokens_per_second"]
    return out
