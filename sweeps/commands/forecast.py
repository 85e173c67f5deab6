"""`python -m sweeps forecast NAME`: trains a ladder, seals a forecast of a larger run, trains that run and scores it.

`python -m analysis forecast`, in a child process, computes and seals the forecast. Each stage is skipped where the
store has its result, so that an interrupted command continues.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig, dumps, load, run_id
from scaling.config.validation import ConfigError
from scaling.counting.counts import total_run_flops
from scaling.store.files import FORECASTS_FILE, write_atomic
from scaling.store.record import Store
from sweeps.commands import launch as launch_command
from sweeps.commands import options as shared
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep
from sweeps.planning.run_family import LAYERS, WIDTHS, RunFamily, find_family
from sweeps.planning.run_pattern import RunPattern, TrainedRun

COUNTED = ("--flops", "exact")  # what C counts: every matrix product, as in the plan of a sweep
BUDGET_TOLERANCE = 1e-3  # relative difference of the target's FLOPs from the requested ones, where its steps allow it
MAX_ADJUSTMENTS = 20


def add(commands: shared.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `forecast`."""
    parser = shared.add_sweep_command(
        commands, "forecast", "train a sweep, seal a forecast of a larger run, train that run and score the forecast"
    )
    parser.add_argument(
        "--times", type=float, metavar="K", help="FLOPs of the larger run, relative to the largest run of the sweep"
    )
    parser.add_argument("--target", type=float, metavar="C", help="FLOPs of the larger run, instead of --times")
    parser.add_argument("--law", metavar="A,B,..", help="laws of the forecast (default: those of `analysis forecast`)")
    launch_command.add_launch_options(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the stages that the store lacks; returns the exit status of the first one that fails."""
    from scaling.data.anonymize import make_anonymous
    from sweeps.interface.launch import prepare_corpus
    from sweeps.launching.launch import launch

    if (args.times is None) == (args.target is None):
        raise SweepError("forecast: give the larger run by --times K or by --target C")
    ratio = args.times if args.target is None else args.target
    if not 0 < ratio < math.inf or (args.times is not None and ratio <= 1):
        allowed = "more than 1" if args.target is None else "more than 0"
        raise SweepError(f"{'--times' if args.target is None else '--target'} {ratio:g}: must be {allowed}")
    if status := check_laws(args.law):
        return status
    requested = launch_command.requested_launch(args)
    store, name, options = requested.store, requested.request.stored_name, requested.options
    if args.anonymous:
        make_anonymous(store)
    corpus = prepare_corpus(requested.request, store)
    configs = requested.request.configs(corpus)
    flops = args.target or args.times * max(map(total_run_flops, configs))
    if status := launch(store, name, configs, corpus, options):
        return status
    target = saved_target(store, name, flops)
    if target is None:
        found = find_target(args, store, name, corpus, flops)
        if isinstance(found, int):
            return found
        target = found
        write_atomic(target_path(store, name, flops), (dumps(target) + "\n").encode())
        store.upload(target_path(store, name, flops))
    if not is_sealed(store, target):
        command = [*forecast_command(args, name), "--target-run", str(target_path(store, name, flops)), "--seal"]
        if status := subprocess.run(command, check=False).returncode:
            return status
    plan = plan_sweep([target], corpus, store)
    print(f"training the target, run {run_id(target)[:16]}: {plan.runs[0].C:.3g} FLOPs", file=sys.stderr)
    if status := launch(store, f"{name}-target", [target], corpus, options):
        return status
    return subprocess.run([sys.executable, "-m", "analysis", "forecasts", args.store], check=False).returncode


def check_laws(law: str | None) -> int:
    """Checks that the laws of the forecast exist, before the ladder is trained.

    Args:
        law: Names of laws, separated by commas; None stands for those of `analysis forecast`.

    Returns:
        0, or the exit status of `analysis laws`, which prints the allowed names.
    """
    for name in law.split(",") if law else []:
        command = [sys.executable, "-m", "analysis", "laws", name]
        if status := subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            return status
    return 0


def target_path(store: Store, name: str, flops: float) -> Path:
    """Returns the file with the config of the run that is forecast.

    Args:
        store: The store.
        name: Name of the sweep in the store.
        flops: Requested FLOPs of the run.
    """
    return store.root / "sweeps" / f"{name}-target-{flops:.6g}.config.json"


def saved_target(store: Store, name: str, flops: float) -> RunConfig | None:
    """Returns the config of the run, as an earlier command saved it; None if none did. Arguments as `target_path`."""
    path = target_path(store, name, flops)
    return load(path) if path.exists() else None


def is_sealed(store: Store, target: RunConfig) -> bool:
    """Whether the store has a sealed forecast of a run; `analysis forecasts --verify` verifies it.

    Args:
        store: The store.
        target: The run.
    """
    path = store.root / FORECASTS_FILE
    return path.exists() and f'"run_id": "{run_id(target)}"' in path.read_text("utf-8")


def forecast_command(args: argparse.Namespace, name: str) -> list[str]:
    """Returns the start of the command `analysis forecast` for the runs of the sweep.

    Args:
        args: Parsed arguments.
        name: Name of the sweep in the store.
    """
    law = ["--law", args.law] if args.law else []
    return [sys.executable, "-m", "analysis", "forecast", args.store, "--where", f"sweep == '{name}'", *COUNTED, *law]


def find_target(args: argparse.Namespace, store: Store, name: str, corpus: Corpus, flops: float) -> RunConfig | int:
    """Returns the run of a number of FLOPs whose size is nearest to the compute-optimal one.

    Args:
        args: Parsed arguments.
        store: The store.
        name: Name of the sweep in the store.
        corpus: Its corpus.
        flops: FLOPs of the run.

    Returns:
        The config, or the exit status of `analysis forecast` if it fails.

    Raises:
        SweepError: The runs follow no rules and have no pattern, or the run would be too short.
    """
    command = [*forecast_command(args, name), "--target", f"C={flops:.17g}", "--json", "-"]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        return process.returncode
    optimum: dict[str, Any] = json.loads(process.stdout)["target"]
    records = [r for r in store.records(check_curves=True) if r.sweep == name and r.status == "done"]
    family = find_family(store, corpus, [TrainedRun(r.config, r.final.get("loss")) for r in records], [])
    sizes = family.sizes(WIDTHS if family.axis == "width" else LAYERS)
    nearest = min(sizes, key=lambda size: abs(math.log(size / optimum["N"])))
    return target_config(family, sizes[nearest], flops, optimum["D"] * optimum["N"] / nearest, args.seed)


def target_config(family: RunFamily | RunPattern, size: int, flops: float, tokens: float, seed: int) -> RunConfig:
    """Returns the run of a size that spends a number of FLOPs, as nearly as whole steps allow.

    Args:
        family: Rules or pattern of the runs.
        size: Width or number of layers.
        flops: FLOPs of the run.
        tokens: First guess of its tokens.
        seed: Seed of the run.
    """
    try:
        config = family.run_for_tokens(size, tokens, seed)
        for _ in range(MAX_ADJUSTMENTS):
            ratio = flops / total_run_flops(config)
            if abs(ratio - 1) < BUDGET_TOLERANCE:
                break
            tokens *= ratio
            config = family.run_for_tokens(size, tokens, seed)
    except ConfigError as error:
        raise SweepError(f"{family.axis} {size} for {tokens:,.0f} tokens: {error}; give more FLOPs") from None
    return dataclasses.replace(config, budget=flops)
