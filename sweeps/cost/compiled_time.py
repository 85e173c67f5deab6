"""The compiler's estimates of step times on a slice, stored by `check --topology` and used by quotes.

libtpu counts the body of a loop once and ignores the host, so the estimate is a lower bound. It is used for models too
small to fill a chip, for which FLOPs at the MFU would greatly underestimate the time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from scaling.config.validation import to_dict
from scaling.store.files import DamagedFileError, read_json, write_json
from scaling.store.record import Store
from sweeps.cost.quote import PricedSlice, quote_flops
from sweeps.planning.plan import Plan, plan_cost

STEPS_REMEDY = "remove it; `python -m sweeps check --topology` of the sweep writes it again"


def shape_key(config: Mapping[str, Any]) -> str:
    """Returns a hash of the properties that a compiled step depends on, from a run's config as plain data."""
    optimizer = {name: value for name, value in config["optimizer"].items() if name != "lr"}
    shape = [config["model"], optimizer, config["batch"], config["data"]["length"], config.get("precision")]
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


def write_step_seconds(store: Store, topology: str, measured: Iterable[tuple[Mapping[str, Any], float]]) -> None:
    """Stores seconds per step.

    Args:
        store: The store.
        topology: Name of the slice.
        measured: Config and seconds per step of each compiled shape.
    """
    seconds = step_seconds(store, topology) | {shape_key(config): step_time for config, step_time in measured}
    if seconds:
        write_json(store.root / "aot" / f"{topology}.steps.json", seconds)


def step_seconds(store: Store, topology: str) -> dict[str, float]:
    """Returns the stored seconds per step, by `shape_key`; without a file, or with a damaged one, none.

    Args:
        store: The store.
        topology: Name of the slice.
    """
    path = store.root / "aot" / f"{topology}.steps.json"
    try:
        seconds = read_json(path, STEPS_REMEDY)
        if not isinstance(seconds, dict) or not all(map(_is_seconds, seconds.values())):
            raise DamagedFileError(path, "not seconds per step by shape", STEPS_REMEDY)
    except FileNotFoundError:
        return {}
    except DamagedFileError as error:
        store.note_damaged(error)
        return {}
    return seconds


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def extra_step_seconds(
    store: Store, runs: Iterable[tuple[Mapping[str, Any], int, float]], priced: PricedSlice, mfu: float
) -> float:
    """Returns the seconds that runs take beyond their FLOPs at the MFU, by the compiler's estimate of their steps.

    Args:
        store: The store with the estimates.
        runs: Config, steps and FLOPs of each run.
        priced: The slice.
        mfu: Model FLOPs utilisation.
    """
    seconds, rate = step_seconds(store, priced.name), priced.chips * priced.peak_flops * mfu
    if not seconds:
        return 0.0
    return sum(max(0.0, steps * seconds.get(shape_key(config), 0.0) - flops / rate) for config, steps, flops in runs)


def quote_plan(plan: Plan, store: Store | None, priced: PricedSlice, mfu: float) -> dict[str, Any]:
    """Quotes the remaining runs of a plan on a slice.

    Args:
        plan: The plan.
        store: The store with the compiler's step times, if shapes were compiled for the slice.
        priced: The slice.
        mfu: Model FLOPs utilisation.
    """
    remaining = ((to_dict(run.config), run.config.steps - run.from_step, run.flops_to_run) for run in plan.remaining)
    extra_seconds = extra_step_seconds(store, remaining, priced, mfu) if store else 0.0
    cost = plan_cost(plan)
    flops = cost["flops_left"] + cost.get("flops_activations_left", 0)
    return quote_flops(flops, priced, mfu, extra_seconds)
