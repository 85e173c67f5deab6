"""`python -m sweeps launch NAME`: trains the remaining runs of a sweep."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config import exit_status
from scaling.config.options import add_options, read_options
from scaling.config.placement import Placement
from scaling.config.run import override
from scaling.config.validation import to_dict
from scaling.counting.tpu import tpu_slice
from scaling.store.damaged import print_damaged
from scaling.store.record import Store
from sweeps.commands import options as shared
from sweeps.definitions.definition import Tasks
from sweeps.errors import SweepError
from sweeps.launching.options import LaunchOptions
from sweeps.planning.plan import Plan

if TYPE_CHECKING:
    from sweeps.cost.quote import PricedSlice
    from sweeps.interface.request import SweepRequest


def add(commands: shared.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `launch`."""
    parser = shared.add_sweep_command(commands, "launch", "train the remaining runs of a sweep")
    add_launch_options(parser)
    parser.add_argument(
        "--dry-run", nargs="?", const="", metavar="DIR",
        help="show jobs, devices, memory, cost and warnings without starting anything; with DIR, write the configs and "
        "the engine's files into this new folder, otherwise print the files",
    )  # fmt: skip


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of every command that launches a sweep."""
    shared.add_definition_options(parser)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of an engine other than local, such as partition=gpu (an unknown name lists all); may be repeated",
    )
    add_options(parser, LaunchOptions)
    shared.add_pack_options(parser)
    parser.add_argument(
        "--wandb", nargs="?", const="online", metavar="offline", help="write curves to Weights & Biases as well"
    )
    shared.add_place_option(parser)
    shared.add_slice_options(parser)
    shared.add_mfu_option(parser)
    parser.add_argument("--cap-flops", type=float, metavar="C", help="stop before the sweep exceeds C FLOPs")
    parser.add_argument("--cap-hours", type=float, metavar="H", help="stop after H hours of machine time")
    parser.add_argument(
        "--cap-usd",
        type=float,
        metavar="USD",
        help="stop after USD dollars at the price of --slice or of the jobs' topology",
    )
    parser.add_argument(
        "--tasks", metavar="A,B", help="tasks on which finished runs are evaluated: names, or FILE.py:NAME"
    )
    parser.add_argument("--shots", metavar="N,M", help="examples in the prompts of --tasks (default: the task's own)")
    parser.add_argument("--items", type=int, metavar="N", help="items of each of --tasks")
    parser.add_argument(
        "--as",
        dest="as_name",
        metavar="NAME",
        help="name of the sweep in the store (default: NAME, the function's name, or that of the file or folder)",
    )


@dataclasses.dataclass(frozen=True)
class Launch:
    """A launch as the command line requests it.

    Attributes:
        request: The sweep.
        store: The store.
        options: Engine, processes, caps, placement and tasks.
    """

    request: SweepRequest
    store: Store
    options: LaunchOptions


def requested_launch(args: argparse.Namespace) -> Launch:
    """Returns the launch that the arguments of `add_launch_options` request."""
    from sweeps.cost.caps import Caps
    from sweeps.engines import get_engine
    from sweeps.interface.launch import launch_options
    from sweeps.interface.plan import fetch_store

    get_engine(args.engine)
    request = shared.sweep_request(args)
    chosen = engine_options(args.option)
    options = dataclasses.replace(
        read_options(LaunchOptions, args),
        engine_options=chosen,
        pack=args.pack,
        caps=Caps(flops=args.cap_flops, hours=args.cap_hours, usd=args.cap_usd, priced=launch_slice(args, chosen)),
        placement=launch_placement(args),
        tasks=requested_tasks(args),
    )
    return Launch(request, fetch_store(args.store), launch_options(request, options))


def run(args: argparse.Namespace) -> int:
    """Launches the sweep and shows its progress, then the results of its analysis command."""
    from scaling.data.anonymize import make_anonymous
    from sweeps.interface.launch import prepare_corpus
    from sweeps.launching.launch import launch

    requested = requested_launch(args)
    request, store, options = requested.request, requested.store, requested.options
    if args.anonymous and args.dry_run is None:
        make_anonymous(store)
    corpus = prepare_corpus(request, store)
    if args.dry_run is not None:
        return dry_run(args, request.stored_name, request.plan(corpus, store), store, options)
    status = launch(store, request.stored_name, request.configs(corpus), corpus, options)
    command = request.definition.analysis_command
    if status == exit_status.DONE and command is not None:  # sweeps does not import analysis
        subprocess.run([sys.executable, "-m", "analysis", command, str(args.store)], check=False)
    return status


def requested_tasks(args: argparse.Namespace) -> Tasks | None:
    """Returns the tasks that the arguments name; None: those of the sweep's definition."""
    if args.tasks is None:
        extra = [flag for flag, value in (("--shots", args.shots), ("--items", args.items)) if value is not None]
        if extra:
            raise SweepError(f"{extra[0]}: needs --tasks NAME,...")
        return None
    try:
        shots = tuple(int(text) for text in args.shots.split(",")) if args.shots else ()
    except ValueError:
        raise SweepError(f"--shots {args.shots}: must be whole numbers, such as 0,1,4") from None
    return Tasks(tuple(args.tasks.split(",")), shots, *([args.items] if args.items is not None else []))


def dry_run(args: argparse.Namespace, name: str, plan: Plan, store: Store, options: LaunchOptions) -> int:
    """Prints what the launch would do, and writes or prints the engine's files.

    Args:
        args: Parsed arguments.
        name: Name of the sweep in the store.
        plan: Its plan.
        store: The store.
        options: The launch options.
    """
    from sweeps.launching.dry_run import Pricing, preview, write_files
    from sweeps.launching.engine import check_options

    check_options(store, options)
    result = preview(store, name, plan, options, Pricing(options.caps.priced, args.mfu))
    print_damaged(store)
    if args.dry_run:
        files = result.files()
        write_files(Path(args.dry_run), files)
        folders = "summary.txt, configs/, jobs/" + (", code/" if result.code else "")
        print(f"{result.summary}\nfiles: {len(files)} in {args.dry_run} ({folders})")
    else:
        print(f"{result.summary}\n\n{result.jobs.as_text()}")
    return exit_status.DONE


def launch_slice(args: argparse.Namespace, chosen: Mapping[str, str]) -> PricedSlice | None:
    """Returns the slice at whose price a launch is quoted and capped: --slice, else the topology of the engine's jobs.

    Args:
        args: Parsed arguments.
        chosen: The engine's options.
    """
    from sweeps.cost.quote import PRICES, priced_slice

    topology = chosen.get("topology")
    if args.slice or not topology:
        return shared.requested_slice(args)
    tpu_slice(topology)  # an unknown one is an error that names the option
    spot = chosen.get("spot", "yes") == "yes"  # the default of the engines for slices
    return priced_slice(topology, args.prices or PRICES, spot)


def engine_options(texts: list[str]) -> dict[str, str]:
    """Parses each `--option NAME=VALUE`; raises SweepError for any other form."""
    invalid = [text for text in texts if not text.partition("=")[1]]
    if invalid:
        raise SweepError(f"--option {invalid[0]}: must be NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def launch_placement(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of Placement that differ from the defaults; SweepError if wandb is requested but missing."""
    from importlib.util import find_spec

    tracking = [f"wandb={args.wandb}"] if args.wandb else []
    default = to_dict(Placement())
    changed = to_dict(override(Placement(), [*tracking, *args.place], "--place"))
    placement = {name: value for name, value in changed.items() if value != default[name]}
    if placement.get("wandb") and args.engine == "local" and find_spec("wandb") is None:
        raise SweepError("--wandb: the package wandb is not installed: pip install 'scaling[wandb]', or remove --wandb")
    return placement
