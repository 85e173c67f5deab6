"""The compiler's own time of a step on a slice: kept by shape when `check --topology` compiles, heeded by the quote.

libtpu counts the body of a loop once and nothing of the host: no step takes less. A run of a model too small to fill a
chip is quoted by it, and not by its FLOPs, which would take no time at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from scaling.store.files import write_json
from scaling.store.record import Store
from sweeps.cost.quote import Slice


def shape_key(config: Mapping[str, Any]) -> str:
    """What a compiled step depends on, of a run's config as plain data."""
    optimizer = {name: value for name, value in config["optimizer"].items() if name != "lr"}
    of = [config["model"], optimizer, config["batch"], config["data"]["length"], config.get("precision")]
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def keep(store: Store, topology: str, found: Iterable[tuple[Mapping[str, Any], float]]) -> None:
    """Keeps the seconds a step of each config, as last compiled for the slice."""
    seconds = step_seconds(store, topology) | {shape_key(config): took for config, took in found}
    if seconds:
        write_json(store.root / "aot" / f"{topology}.steps.json", seconds)


def step_seconds(store: Store, topology: str) -> dict[str, float]:
    """Seconds a step by shape, of those that were compiled for the slice and have an estimate."""
    try:
        return dict(json.loads((store.root / "aot" / f"{topology}.steps.json").read_text()))
    except FileNotFoundError:
        return {}


def longer(store: Store, runs: Iterable[tuple[Mapping[str, Any], int, float]], on: Slice, mfu: float) -> float:
    """Seconds that runs take on a slice beyond their FLOPs at the MFU, by the compiler's own time of their steps.

    runs: config, steps and FLOPs of each.
    """
    seconds, rate = step_seconds(store, on.name), on.chips * on.peak_flops * mfu
    if not seconds:
        return 0.0
    return sum(max(0.0, steps * seconds.get(shape_key(config), 0.0) - flops / rate) for config, steps, flops in runs)
