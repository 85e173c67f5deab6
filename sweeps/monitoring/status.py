"""The status of a sweep: the state of each run, the cost so far, and the axes of its loss plots."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.text import printable
from scaling.config.validation import from_dict
from scaling.counting.counts import total_run_flops
from scaling.store.cost import cost_so_far, machine_facts, process_seconds
from scaling.store.damaged import damaged_files, newest_row, verified_facts
from scaling.store.files import DamagedFileError, process_exists
from scaling.store.origin.anonymous import is_this_host
from scaling.store.record import STATUSES, Record, Store
from sweeps.cost.compiled_time import extra_step_seconds
from sweeps.cost.quote import PricedSlice
from sweeps.cost.spend import DEFAULT_MFU, flops_until_step, run_spending, sweep_cost
from sweeps.engines.events import last_lines, log_tail
from sweeps.errors import SweepError
from sweeps.monitoring import read_many
from sweeps.monitoring.axes import axes, coordinates
from sweeps.monitoring.health import status_health
from sweeps.monitoring.machine import machine_totals, recorded_machine
from sweeps.planning.plan import DAMAGED, FINISHED_STATUSES, shared_steps
from sweeps.planning.streams import run_size

STATE_LENGTH = 40  # shown characters of a status that this version does not know
SAE_FIELDS = ("kind", "latents", "l0", "layer", "site")  # of an autoencoder, in its row
STATES = ("done", "running", "waiting", "stopped", "interrupted", "diverged", "failed", DAMAGED)


def known_sweeps(store: Store) -> list[str]:
    """Returns the names of the sweeps in a store."""
    return sorted(path.stem for path in (store.root / "sweeps").glob("*.json"))


def status(
    store: Store,
    sweep: str,
    *,
    on: PricedSlice | None = None,
    mfu: float = DEFAULT_MFU,
    cache: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the status of a sweep as plain data.

    Args:
        store: The store with the runs.
        sweep: Name of the sweep.
        on: TPU slice for which time and dollars are quoted; None: no quote.
        mfu: Model FLOPs utilisation of the quote.
        cache: Rows of finished runs, filled by earlier calls; their records are read again only if they have changed.
            None: all records are read.

    Returns:
        `sweep`; `counts` of runs by state; `cost` so far; `machine`, as `machine_totals` returns it; `health`, the
        normalised curves and the runs that left the band of the others; `axes` of plots;
        `runs`, a row for each run with its sizes and, if known, its loss, step, tokens per second, seconds left,
        `machine`, error and log; and `damaged`, the path and the problem of each file that could not be used.

    Raises:
        SweepError: The store has no such sweep.
    """
    entries = store.sweep(sweep)
    if entries is None:
        names = ", ".join(known_sweeps(store)) or "no sweeps"
        raise SweepError(f"sweep {sweep!r} is not in store {store.root}: it has {names}")
    entries = with_plan(entries)
    sweep_axes = axes(entries)
    runs = run_rows(store, entries, sweep_axes, cache)
    seconds = seconds_beyond_mfu(store, entries, on, mfu) if on else 0.0
    return {
        "sweep": sweep,
        "counts": state_counts(runs),
        "cost": sweep_cost(runs, on, mfu, seconds),
        "machine": machine_totals(runs),
        "health": status_health(store, runs),
        "axes": sweep_axes,
        "runs": runs,
        "damaged": damaged_files(store),
    }


def state_counts(runs: list[dict[str, Any]]) -> dict[str, int]:
    """Returns the number of runs by state.

    `damaged` counts runs with damaged records and `unknown` the states of newer versions; both are absent without them.

    Args:
        runs: Rows of the status.
    """
    counts = {state: sum(run["state"] == state for run in runs) for state in STATES}
    counts["unknown"] = len(runs) - sum(counts.values())
    return {state: count for state, count in counts.items() if count or state not in (DAMAGED, "unknown")}


def run_rows(
    store: Store, entries: list[dict[str, Any]], sweep_axes: dict[str, Any], cache: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Returns a row for each run of a sweep.

    Args:
        store: The store with the runs.
        entries: The runs of the sweep, as planned.
        sweep_axes: Axes of the sweep's plots.
        cache: See `status`.
    """
    stamps = store.record_stamps() if cache is not None else {}
    cache, runs = {} if cache is None else cache, []
    cached = {name for name, (stamp, _) in cache.items() if stamp == stamps.get(name)}
    unread = [entry["run_id"] for entry in entries if entry["run_id"] not in cached]
    records = read_many.read_all(functools.partial(read_record, store), unread)
    for entry in entries:
        name = entry["run_id"]
        if name in cached:
            row = cache[name][1]
        else:
            recorded = next(records)
            try:
                row = run_status(store, entry, recorded)
            except DamagedFileError as error:  # of the parts that are read only if the run is running or stopped
                store.note_damaged(error)
                row = run_status(store, entry, error)
            if row["state"] in FINISHED_STATUSES and name in stamps:
                cache[name] = (stamps[name], row)
        row["x"], row["by"] = coordinates(entry, sweep_axes)  # also for cached rows: the axes may have changed
        runs.append(row)
    return runs


def read_record(store: Store, name: str) -> dict[str, Any] | DamagedFileError:
    """Returns the JSON of a record, empty without one; of a damaged one, which is added to `store.damaged`, the error.

    Args:
        store: The store.
        name: Id of the run.
    """
    try:
        return verified_facts(store, name) or {}
    except DamagedFileError as error:
        store.note_damaged(error)
        return error


def seconds_beyond_mfu(store: Store, entries: list[dict[str, Any]], on: PricedSlice, mfu: float) -> float:
    """Returns the seconds that a sweep takes beyond its FLOPs at the MFU, from the compiler's step times.

    Args:
        store: The store with the compiler's step times.
        entries: The runs of the sweep, as planned.
        on: TPU slice.
        mfu: Model FLOPs utilisation.
    """
    work = ((e["config"], e["config"]["steps"] - e["from"], e["C"] - flops_until_step(e, e["from"])) for e in entries)
    return extra_step_seconds(store, work, on, mfu)


def with_plan(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the runs of a sweep with their planned N, D and C, which are computed if an early version wrote it."""
    if all("C" in entry for entry in entries):
        return entries
    configs = [from_dict(RunConfig, entry["config"]) for entry in entries]
    starts = shared_steps(configs)
    return [
        entry | {"N": run_size(c), "D": c.tokens, "C": total_run_flops(c), "from": step}
        for entry, c, step in zip(entries, configs, starts, strict=True)
    ]


def run_status(store: Store, entry: dict[str, Any], recorded: dict[str, Any] | DamagedFileError) -> dict[str, Any]:
    """Returns the row of a run; its whole record and curve are read only if it is running or stopped.

    Args:
        store: The store with the run.
        entry: The run as planned.
        recorded: Result of `read_record`.
    """
    row: dict[str, Any] = {"run_id": entry["run_id"], "state": "waiting", "N": entry["N"], "D": entry["D"]}
    row["C"], row["flops_planned"] = entry["C"], entry["C"] - flops_until_step(entry, entry["from"])
    config = entry["config"]
    row |= {"width": config["model"]["width"], "layers": config["model"]["layers"], "steps": config["steps"]}
    if config.get("sae"):
        row["sae"] = {name: config["sae"].get(name) for name in SAE_FIELDS}
    if entry.get("budget") is not None:
        row["budget"] = entry["budget"]
    if isinstance(recorded, DamagedFileError):
        return row | {"state": DAMAGED, "error": recorded.problem} | run_spending(entry, {}, DAMAGED, None)
    about, final = recorded.get("about", {}), recorded.get("final", {})
    row["state"] = recorded_state(str(recorded["status"])) if "status" in recorded else "waiting"
    machine = recorded_machine(about)
    if row["state"] in ("running", "stopped") and (record := store.read(row["run_id"])) is not None:
        row["state"] = record.status if record.status != "running" or is_alive(record, store) else "interrupted"
        row |= run_progress(store, record)
        machine = machine_facts(store, row["run_id"], about)
        about = about | cost_so_far(store, record)
    row |= run_spending(entry, about, row["state"], row.get("step"))
    if "loss" in final:
        row["loss"] = final["loss"]
    row |= {key: about[key] for key in ("error", "seconds", "host") if key in about}
    if machine:
        compiling = {"compile_seconds": about["compile_seconds"]} if "compile_seconds" in about else {}
        row["machine"] = {**machine, **compiling}
    if row["state"] == "failed" and (log := failure_log(store, row["run_id"], about)):
        row["log"] = log
    return row


def failure_log(store: Store, run_id: str, about: dict[str, Any]) -> list[str]:
    """Returns the last log lines of a run's process, from its record or from its folder.

    Args:
        store: The store with the run.
        run_id: The run.
        about: The `about` of its record.
    """
    log = about.get("log")
    if log is None:
        lines = log_tail(store.run_dir(run_id) / "log.txt")
    else:
        lines = last_lines(log if isinstance(log, str) else "\n".join(map(str, log)))
    return [line.rstrip() for line in lines]


def recorded_state(status: str) -> str:
    """Returns the state of a run by the status of its record: a status of a newer version under its own name."""
    if status in STATUSES:
        return status
    name = printable(status)[:STATE_LENGTH]
    return f"{name!r}" if name in STATES else name  # "waiting" is no status of a record


def is_alive(record: Record, store: Store) -> bool:
    """Returns whether the process that wrote a running record still runs.

    For a process of another machine, several calls (as with `--watch`) are needed to detect that its lease has expired.

    Args:
        record: The run's record.
        store: The store with the run.
    """
    pid, host = record.about.get("pid"), record.about.get("host")
    if pid is None or (host is not None and not is_this_host(host)):
        return not store.is_abandoned(record.run_id)
    if not process_exists(pid):
        return False
    command = Path(f"/proc/{pid}/cmdline")  # another program may have the process id by now
    return not command.exists() or b"train" in command.read_bytes()


def run_progress(store: Store, record: Record) -> dict[str, Any]:
    """Returns step, training loss, tokens per second and seconds left of an unfinished run, if known.

    Args:
        store: The store with the run.
        record: The run's record.
    """
    last = newest_row(store, record.run_id)
    if last is None:
        return {}
    row: dict[str, Any] = {"step": int(last["step"])}
    if "loss" in last:
        row["train_loss"] = last["loss"]
    elapsed = process_seconds(store, record, last) if record.status == "running" else None
    if elapsed is None:
        return row
    seconds = elapsed - record.about.get("compile_seconds", 0.0)
    first_step = record.about.get("started_from", {}).get("step", 0)
    if seconds > 0 and row["step"] > first_step:
        config = record.config
        tokens = config.sequences(row["step"]) * config.data.length
        row["tokens_per_second"] = (tokens - config.sequences(first_step) * config.data.length) / seconds
        row["seconds_left"] = (config.tokens - tokens) / row["tokens_per_second"]
    return row
