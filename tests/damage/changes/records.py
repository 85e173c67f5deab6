"""Damages of a record that keep its form: edited values, and the record of an earlier version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Data = dict[str, Any]
LATER_FIELDS = ("machine_share", "cores", "input_wait", "hosts", "tokens_per_second")  # of `about`


def _scaled(part: str, name: str, factor: float) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        if name in data[part]:
            data[part][name] = type(data[part][name])(data[part][name] * factor)

    return edit


def _set(name: str, value: Any) -> Callable[[Data], None]:
    *parts, last = name.split(".")

    def edit(data: Data) -> None:
        for part in parts:
            data = data[part]
        data[last] = value

    return edit


EDITS: dict[str, Callable[[Data], None]] = {
    "seed": _set("config.seed", 7),
    "learning rate": _set("config.optimizer.lr", 0.0123),
    "steps": _set("config.steps", 777),
    "batch": _set("config.batch", 4),
    "width": _set("config.model.width", 48),
    "tokens file": _set("config.data.tokens", "cd" * 32),
    "final loss": _scaled("final", "loss", 0.9),
    "final tokens": _scaled("final", "tokens", 2),
    "final step": _scaled("final", "step", 2),
    "parameters x2": _scaled("params", "total", 2),
    "a part of the parameters x2": _scaled("params", "mlp", 2),
    "FLOPs x2": _scaled("flops", "total", 2),
    "a part of the FLOPs x2": _scaled("flops", "mlp_forward", 2),
    "a score": _scaled("evals", "addition-4/exact_match", 0.5),
    "status": _set("status", "failed"),
    "sweep": _set("sweep", "other"),
    "run id": _set("run_id", "e" * 64),
    "run id as a path": _set("run_id", "../../../escaped"),
    "budget": _set("config.budget", 5e12),
}


UNKNOWN = ("a score", "status", "sweep", "budget")  # nothing else in a store has these facts of a record


def altered(path: Path, random: Random) -> str:
    """An edited value in a record with a checksum."""
    return _edit(path, random.choice(list(EDITS)))


def _edit(path: Path, name: str) -> str:
    data = json.loads(path.read_text())
    EDITS[name](data)
    path.write_text(json.dumps(data, indent=1) + "\n")
    return name


def altered_older(path: Path, random: Random) -> str:
    """A value in the record of an earlier version that its config, its folder or its curve contradicts."""
    older(path, random)
    return _edit(path, random.choice([name for name in EDITS if name not in UNKNOWN]))


def older(path: Path, random: Random) -> None:
    """A record as an earlier version wrote it: without what came later."""
    data = json.loads(path.read_text())
    for name in LATER_FIELDS:
        data["about"].pop(name, None)
    data.pop("checksum", None)
    path.write_text(json.dumps(data, indent=1) + "\n")
