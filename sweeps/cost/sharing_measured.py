"""Measures the savings by sharing and packs: launches a sweep as planned, and with one process per run.

The modes alternate; each launch uses a new store with an empty compile cache. The records of the modes are compared,
and the measured time is compared with its estimate.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Record, Store
from sweeps.cost.pace import estimate_seconds_left, measure_pace
from sweeps.errors import SweepError
from sweeps.format import signed_percent
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep, run_id

SHARED, SEPARATE, COLD = "shared", "separate", "cold"


@dataclass(frozen=True, kw_only=True)
class SavingOptions:
    """How to launch a sweep with and without sharing.

    Attributes:
        arguments: Flags of every launch.
        sharing: Additional flags of the mode with sharing.
        rounds: Number of launches per mode; the modes alternate.
        cold: Whether to add a third mode, in which processes do not share compiled programs either.
    """

    arguments: Sequence[str] = ()
    sharing: Sequence[str] = ()
    rounds: int = 1
    cold: bool = False


def measure_savings(
    store: Store, names: Sequence[str], configs: list[RunConfig], corpus: Corpus, options: SavingOptions
) -> dict[str, Any]:
    """Launches a sweep with and without sharing, alternately.

    Args:
        store: New stores are created in its folder `saving`.
        names: The sweep on the command line: its name, or files of run configs.
        configs: Its runs.
        corpus: Its corpus.
        options: Flags of the launches, rounds and modes.

    Returns:
        Seconds of each launch, ratios to the shared one, differences of the records, and estimated times.
    """
    if options.rounds < 1:
        raise SweepError(f"--rounds {options.rounds}: must be 1 or more")
    flags = {SHARED: options.sharing, SEPARATE: ["--separate"]}
    flags |= {COLD: ["--separate", "--place", "compile_cache=false"]} if options.cold else {}
    seconds: dict[str, list[float]] = {mode: [] for mode in flags}
    quotes: list[dict[str, float]] = []
    comparison: dict[str, Any] = {}
    previous: Store | None = None  # its records are used to estimate the next launch
    for i in range(options.rounds):
        stores = {mode: new_store(store, f"{mode}-{i}") for mode in seconds}
        for mode, mode_store in stores.items():
            if previous is not None and mode == SHARED:
                quotes.append({"quoted": quoted_seconds(previous, configs, corpus)})
            seconds[mode].append(time_launch(mode_store, names, [*options.arguments, *flags[mode]]))
        previous = stores[SHARED]
        if i == 0:
            quotes.append({"in_hindsight": quoted_seconds(previous, configs, corpus)})
        quotes[-1]["measured"] = seconds[SHARED][-1]
        comparison = compare_records(stores[SHARED], stores[SEPARATE], configs)
    ratios = {mode: sum(seconds[mode]) / sum(seconds[SHARED]) for mode in flags if mode != SHARED}
    return {"sweep": " ".join(names), "seconds": seconds, "ratios": ratios, "records": comparison, "quotes": quotes}


def new_store(store: Store, name: str) -> Store:
    """Creates a store with the token files of another; SweepError if its folder exists.

    Args:
        store: The store.
        name: Name of the new store.
    """
    folder = store.root / "saving" / name
    if folder.exists():
        raise SweepError(f"{folder} exists: its finished runs would not be measured: remove it, or use another --store")
    folder.mkdir(parents=True)
    (folder / "tokens").symlink_to(store.token_files.absolute(), target_is_directory=True)
    return Store(folder)


def time_launch(store: Store, names: Sequence[str], arguments: Sequence[str]) -> float:
    """Launches a sweep and returns the seconds it takes; SweepError if it fails.

    Args:
        store: The store.
        names: The sweep on the command line.
        arguments: Flags of the launch.
    """
    command = [sys.executable, "-m", "sweeps", "launch", *names, "--store", str(store.root), *arguments]
    cache = {"JAX_COMPILATION_CACHE_DIR": str((store.root / "compiled").absolute())}
    started_at = time.monotonic()
    status = subprocess.run(command, env={**os.environ, **cache}, check=False).returncode
    if status:
        raise SweepError(f"{' '.join(command)} ended with exit status {status}: see its output above")
    return time.monotonic() - started_at


def quoted_seconds(store: Store, configs: list[RunConfig], corpus: Corpus) -> float:
    """Returns the estimated seconds of the whole sweep from the speed of a store's runs.

    Args:
        store: The store.
        configs: The runs.
        corpus: The corpus.
    """
    pace = measure_pace(store)
    if pace is None:
        raise SweepError(f"store {store.root}: has no finished runs, from which the speed is measured")
    return estimate_seconds_left(plan_sweep(configs, corpus), pace)


def compare_records(a: Store, b: Store, configs: Sequence[RunConfig]) -> dict[str, Any]:
    """Compares the records of two stores.

    Args:
        a: A store.
        b: Another store.
        configs: The runs.

    Returns:
        Number of runs, number of identical runs, and the largest relative difference of validation losses.
    """
    same, largest = 0, 0.0
    for config in configs:
        name = run_id(config)
        first, second = a.read(name), b.read(name)
        if first is None or second is None:
            raise SweepError(f"run {name[:12]} has no record in {(a if first is None else b).root}")
        same += record_results(first) == record_results(second) and a.curve(name) == b.curve(name)
        if "loss" in first.final and "loss" in second.final:
            largest = max(largest, abs(first.final["loss"] / second.final["loss"] - 1))
    return {"runs": len(configs), "same": same, "loss_apart": largest}


def record_results(record: Record) -> tuple[Any, ...]:
    """Returns the fields of a record that do not describe its provenance."""
    return record.status, record.params, record.flops, record.final, record.evals


def as_text(result: dict[str, Any]) -> str:
    """Formats the measurement."""
    seconds, records = result["seconds"], result["records"]

    def times(mode: str) -> str:
        return ", ".join(f"{seconds_taken:.1f} s" for seconds_taken in seconds[mode])

    labels = {SEPARATE: "sharing only compiled programs", COLD: "sharing nothing"}
    lines = [
        f"as planned: {times(SHARED)}",
        *(
            f"one process per run, {labels[mode]}: {times(mode)}, {ratio:.2f} times as long"
            for mode, ratio in result["ratios"].items()
        ),
        f"records: {records['same']} of {records['runs']} identical"
        + (f", validation losses differ by up to {records['loss_apart']:.2%}" if records["loss_apart"] else ""),
    ]
    for quote in result["quotes"]:
        seconds_taken = quote.get("quoted", quote.get("in_hindsight", 0.0))
        mode = "estimated from the previous launch" if "quoted" in quote else "estimated from its own records"
        lines.append(
            f"{mode}: {seconds_taken:.1f} s, measured {quote['measured']:.1f} s "
            f"({signed_percent(seconds_taken / quote['measured'] - 1)})"
        )
    return "\n".join(lines)
