"""What a sweep has come to: each run's state, and the isoFLOP table as it fills."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from scaling.config import RunConfig, from_dict
from scaling.models.counts import parameters
from scaling.record import Record, Store
from scaling.record import alive as process_alive
from sweeps.corpus import SweepError
from sweeps.text import duration, short, table

STATES = ("done", "running", "waiting", "stopped", "interrupted", "diverged", "failed")


def known_sweeps(store: Store) -> list[str]:
    """Names of the sweeps in a store."""
    return sorted(path.stem for path in (store.root / "sweeps").glob("*.json"))


def status(store: Store, sweep: str) -> dict[str, Any]:
    """State of each run: `state`, sizes, and what there is of loss, step, tokens/s, seconds left, error."""
    if not (store.root / "sweeps" / f"{sweep}.json").exists():
        known = ", ".join(known_sweeps(store)) or "none"
        raise SweepError(f"sweep {sweep!r} is not in store {store.root}: known are {known}")
    runs = [run_status(store, entry) for entry in store.sweeps()[sweep]]
    counts = {state: sum(run["state"] == state for run in runs) for state in STATES}
    return {"sweep": sweep, "counts": counts, "runs": runs}


def run_status(store: Store, entry: dict[str, Any]) -> dict[str, Any]:
    """One run of a sweep, from its record alone; the curve is looked at only while it grows."""
    config = from_dict(RunConfig, entry["config"])
    row: dict[str, Any] = {
        "run_id": entry["run_id"],
        "state": "waiting",
        "N": parameters(config.model)["total"],
        "D": config.tokens,
        "width": config.model.width,
        "layers": config.model.layers,
        "steps": config.steps,
    }
    if entry.get("budget") is not None:
        row["budget"] = entry["budget"]
    record = store.read(entry["run_id"])
    if record is None:
        return row
    row["state"] = record.status
    if record.status == "running":
        row["state"] = "running" if alive(record) else "interrupted"
        row.update(progress(store, record))
    if record.status == "stopped":
        row.update(progress(store, record))
    if "loss" in record.final:
        row["loss"] = record.final["loss"]
    for key in ("error", "seconds"):
        if key in record.about:
            row[key] = record.about[key]
    return row


def alive(record: Record) -> bool:
    """Whether the process that wrote a running record still runs; taken on trust from another machine."""
    pid, host = record.about.get("pid"), record.about.get("host")
    if pid is None or (host is not None and host != socket.gethostname()):
        return True
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
    started = record.about.get("started")
    if record.status != "running" or started is None:
        return out
    written = (store.run_dir(record.run_id) / "curve.jsonl").stat().st_mtime
    took = written - datetime.fromisoformat(started).timestamp() - record.about.get("compile_seconds", 0.0)
    first = record.about.get("started_from", {}).get("step", 0)
    steps = out["step"] - first
    if took > 0 and steps > 0:
        config = record.config
        seen = config.sequences(out["step"]) * config.data.length
        out["tokens_per_second"] = (seen - config.sequences(first) * config.data.length) / took
        out["seconds_left"] = (config.tokens - seen) / out["tokens_per_second"]
    return out


def isoflop_table(runs: list[dict[str, Any]]) -> str:
    """Held-out loss by budget (rows) and size (columns), each budget's lowest marked; a dot: not there yet."""
    sizes = sorted({(run["N"], run["width"]) for run in runs})
    budgets = sorted({run["budget"] for run in runs if "budget" in run})
    cells = {(run["budget"], run["N"]): run for run in runs if "budget" in run}
    rows = []
    for budget in budgets:
        losses = [
            run["loss"] for (b, _), run in cells.items() if b == budget and "loss" in run and run["state"] == "done"
        ]
        row = [short(budget)]
        for size, _ in sizes:
            run = cells.get((budget, size))
            row.append("" if run is None else cell(run, min(losses, default=None)))
        rows.append(row)
    return table(["budget \\ N", *(short(size) for size, _ in sizes)], rows)


def cell(run: dict[str, Any], lowest: float | None) -> str:
    """A run's entry in the table."""
    if run["state"] == "done" and "loss" in run:
        return f"{run['loss']:.3f}" + ("*" if run["loss"] == lowest else " ")
    return {"waiting": ". "}.get(run["state"], f"{run['state']} ")


def as_text(of: dict[str, Any]) -> str:
    """The status for a person."""
    runs = of["runs"]
    counts = ", ".join(f"{n} {state}" for state, n in of["counts"].items() if n)
    lines = [f"sweep {of['sweep']}: {counts} of {len(runs)} runs"]
    if any("budget" in run for run in runs):
        lines += ["", isoflop_table(runs), "(held-out loss, nats a token; *: lowest of its budget)"]
    told = [line for run in runs if (line := run_line(run)) is not None]
    return "\n".join(lines + ([""] if told else []) + told)


def run_line(run: dict[str, Any]) -> str | None:
    """A line on a run that is neither done nor waiting."""
    if run["state"] in ("done", "waiting"):
        return None
    parts = [f"{run['run_id'][:12]}  {run['state']:<11}  width {run['width']}"]
    if "step" in run:
        parts.append(f"step {run['step']:,}/{run['steps']:,}")
    if "train_loss" in run:
        parts.append(f"loss {run['train_loss']:.3f}")
    if "tokens_per_second" in run:
        parts.append(f"{short(run['tokens_per_second'])} tokens/s")
    if "seconds_left" in run:
        parts.append(f"{duration(run['seconds_left'])} left")
    if run["state"] in ("stopped", "interrupted"):
        parts.append("will go on at the next launch")
    if "error" in run:
        parts.append(str(run["error"]))
    return ", ".join(parts)
