"""Reads the files of sweeps in a store, sweeps/NAME.json and NAME.place, and checks what they contain."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError, UnknownFieldError, one_line, to_dict
from scaling.store.files import DamagedFileError, NewerFileError, read_json
from scaling.store.verification.config_cache import run_config_from_dict

SWEEP_REMEDY = "`python -m sweeps launch` of the sweep writes it again; or restore the file from a copy"
RUN_ID = re.compile("[0-9a-f]{64}")
TARGET = re.compile(r".+-target-[0-9.e+]+\.config\.json")  # config of a run that `sweeps forecast` trains
PLANNED = ("N", "D", "C", "from")  # all or none of them
FIELDS = {"run_id", "budget", "config", *PLANNED}
SHOWN_FIELDS = 3  # of the unknown fields that an error names
MAX_PLANNED = 10**60  # of N, D and C: products of a few of them stay finite


def read_sweep(path: Path) -> list[dict[str, Any]]:
    """Returns the runs of a sweep, as `Store.sweep` does.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        NewerFileError: It has a field of a newer version.
        DamagedFileError: It cannot be read, or a run lacks a field or has one of another type.
    """
    data = read_json(path, SWEEP_REMEDY)
    runs = data.get("runs") if isinstance(data, dict) else None
    if not isinstance(runs, list):
        raise DamagedFileError(path, "not a sweep: has no list of runs", SWEEP_REMEDY)
    unknown = sorted(data.keys() - {"name", "runs"})
    for number, run in enumerate(runs):
        if isinstance(run, dict):
            unknown += [f"runs.{number}.{field}" for field in sorted(run.keys() - FIELDS)]
    if unknown:
        raise NewerFileError(path, unknown[:SHOWN_FIELDS])
    for number, run in enumerate(runs):
        if field := _wrong_field(run):
            raise DamagedFileError(
                path, f"run {number}: {field} is missing or has a value of another type", SWEEP_REMEDY
            )
    return runs


def sweep_paths(root: Path) -> list[Path]:
    """Returns the files of the sweeps of a store, in order.

    Args:
        root: Folder of the store.
    """
    return sorted(path for path in root.glob("sweeps/*.json") if not TARGET.fullmatch(path.name))


def check_planned(path: Path, entries: list[dict[str, Any]], configs: Mapping[str, RunConfig]) -> None:
    """Checks that the configs of a sweep's file have the run ids beside them, before the file is written again.

    Args:
        path: The file.
        entries: Its runs, as `read_sweep` returns them.
        configs: Config of each planned run, by run id. Runs with the same config are not checked further.

    Raises:
        NewerFileError: A config has a field of a newer version.
        DamagedFileError: A config is not valid, or is not that of its run id.
    """
    for number, entry in enumerate(entries):
        name, config = entry["run_id"], configs.get(entry["run_id"])
        if config is not None and entry["config"] == to_dict(config):
            continue
        try:
            found = run_id(run_config_from_dict(entry["config"]))
        except UnknownFieldError as error:
            raise NewerFileError(path, error.fields) from None
        except (ConfigError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise DamagedFileError(path, f"run {number}: {one_line(error)}", SWEEP_REMEDY) from None
        if found != name:
            raise DamagedFileError(path, f"run {number}: run_id = {name}, but its config has {found}", SWEEP_REMEDY)


def read_placement(path: Path) -> dict[str, Any]:
    """Returns the fields of Placement that the launch of a sweep has set.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It cannot be read, or is not an object.
    """
    data = read_json(path, SWEEP_REMEDY)
    if not isinstance(data, dict):
        raise DamagedFileError(path, "not a placement: must be an object", SWEEP_REMEDY)
    return data


def _wrong_field(run: Any) -> str:
    """Returns the name of a field of a planned run that commands need and that is missing or has another type."""
    if not isinstance(run, dict):
        return "the run"
    if not isinstance(run.get("run_id"), str) or not RUN_ID.fullmatch(run["run_id"]):
        return "run_id"
    if run.get("budget") is not None and not _is_number(run["budget"]):
        return "budget"
    if field := _wrong_config_field(run.get("config")):
        return field
    planned = [run[name] for name in PLANNED if name in run]
    if planned and len(planned) < len(PLANNED):
        return f"one of {', '.join(PLANNED)}"
    most = {"from": run["config"]["steps"]}
    for name in PLANNED[: len(planned)]:
        least = 0 if name == "from" else 1
        if type(run[name]) is not int or not least <= run[name] <= most.get(name, MAX_PLANNED):
            return name
    return ""


def _wrong_config_field(config: Any) -> str:
    if not isinstance(config, dict):
        return "config"
    for group in ("model", "data", "optimizer"):
        if not isinstance(config.get(group), dict):
            return f"config.{group}"
    sizes = {"config.steps": config.get("steps"), "config.batch": config.get("batch")}
    sizes |= {f"config.model.{name}": config["model"].get(name) for name in ("width", "layers")}
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            return name
    data = config["data"]
    if not isinstance(data.get("tokens"), str) or not isinstance(data.get("corpus", None) or "", str):
        return "config.data.tokens or config.data.corpus"
    if type(data.get("length")) is not int:
        return "config.data.length"
    if not isinstance(config.get("schedule", {}), dict):
        return "config.schedule"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
