"""Command-line arguments that several commands share, and functions that evaluate them."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config.run import RunConfig
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.definitions import DEFINITIONS, find_definition
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import apply_fields, check_settings, parse_fields
from sweeps.planning.plan import Plan, plan_sweep
from sweeps.planning.settings import parse_settings, separate_fields

if TYPE_CHECKING:
    from sweeps.cost.quote import PricedSlice

Commands = argparse._SubParsersAction  # what argparse's add_subparsers returns


def add_sweep_command(
    commands: Commands[argparse.ArgumentParser], name: str, help_text: str, *, needs_store: bool = True
) -> argparse.ArgumentParser:
    """Adds the parser of a command for one sweep in a store.

    Args:
        commands: The sub-parsers of the entry point.
        name: Name of the command.
        help_text: Text of `--help`.
        needs_store: Whether --store is required.
    """
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("name", metavar="NAME", help="name of a sweep (`list` shows the known ones)")
    parser.add_argument(
        "--store",
        metavar="DIR",
        required=needs_store,
        help="store of runs and token files: a folder, s3://... or gs://...",
    )
    return parser


def separate_arguments(argv: Sequence[str]) -> list[str]:
    """Returns arguments that argparse understands.

    `--set a=1 b=2` becomes `--set a=1 --set b=2`; the only name of a sweep is not taken for the folder of --dry-run.

    Args:
        argv: The arguments.
    """
    out: list[str] = []
    in_list = False
    for text in argv:
        assignment = re.match(r"[A-Za-z_][\w.]*=", text) is not None
        if in_list and assignment and out[-1] != "--set":
            out.append("--set")
        in_list = text == "--set" or text.startswith("--set=") or (in_list and assignment)
        out.append(text)
    for i, (text, following) in enumerate(pairwise(out)):
        if text == "--dry-run" and following in DEFINITIONS and sum(word in DEFINITIONS for word in out) == 1:
            out[i] = "--dry-run="
    return out


def add_definition_options(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a sweep's definition: corpus, tokenizer, seed and settings."""
    parser.add_argument("--corpus", help="corpus to train on (default: that of the sweep's definition)")
    parser.add_argument(
        "--tokenizer", default="bytes", help="bytes (default), or sentencepiece:V for a vocabulary of V pieces"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every run (default 0)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="name=value",
        help="setting of the sweep or its rules, such as budgets=1e18,1e19 (an unknown name lists all), or any field "
        "of the runs' configs, such as optimizer.weight_decay=0.05 schedule.name=cosine; several values of a field, as "
        "in optimizer.weight_decay=0.05,0.1, are a grid: each run once per value",
    )  # fmt: skip


def add_slice_options(parser: argparse.ArgumentParser) -> None:
    """Adds the TPU slice and price table of a quote."""
    parser.add_argument("--slice", metavar="T", help="TPU slice for which time and dollars are quoted, such as v5e-16")
    parser.add_argument("--spot", action="store_true", help="use the spot price")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="price table in place of sweeps/cost/prices.json")


def add_mfu_option(parser: argparse.ArgumentParser) -> None:
    """Adds the model FLOPs utilisation of quotes."""
    parser.add_argument("--mfu", type=float, default=0.4, help="model FLOPs utilisation of the slice (default 0.4)")


def add_pack_options(parser: argparse.ArgumentParser) -> None:
    """Adds the size of packs."""
    parser.add_argument(
        "--pack", type=int, metavar="SIZE",
        help="train up to SIZE runs of one shape as one program (local engine; default: 8 on accelerators, else 0)",
    )  # fmt: skip
    parser.add_argument(
        "--no-pack", dest="pack", action="store_const", const=0, help="train each run as a separate program"
    )


def add_place_option(parser: argparse.ArgumentParser) -> None:
    """Adds the placement of runs."""
    parser.add_argument(
        "--place", action="append", default=[], metavar="field=value", help="placement, as for `scaling train`"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Adds JSON output."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def corpus_name(args: argparse.Namespace) -> str:
    """Returns the corpus of the sweep that the arguments name.

    `--set` is checked first, because the preparation of a corpus that comes next can take minutes.

    Raises:
        SweepError: The sweep or a setting does not exist.
    """
    sweep_settings(args)
    return args.corpus or find_definition(args.name).corpus


def make_plan(args: argparse.Namespace, corpus: Corpus, store: Store | None) -> Plan:
    """Plans the sweep that the arguments name.

    Args:
        args: Parsed arguments.
        corpus: Its corpus.
        store: If given, the plan includes the statuses and checkpoints of its runs.
    """
    _, grid = sweep_settings(args)
    return dataclasses.replace(plan_sweep(sweep_configs(args, corpus), corpus, store), fields=grid)


def sweep_configs(args: argparse.Namespace, corpus: Corpus) -> list[RunConfig]:
    """Returns the runs of the sweep that the arguments name, with its settings.

    Args:
        args: Parsed arguments.
        corpus: The corpus.
    """
    make, (settings, grid) = find_definition(args.name).make, sweep_settings(args)
    configs = make(corpus, seed=args.seed, **settings)
    return apply_fields(configs, grid) if grid else configs


def sweep_settings(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
    """Returns the settings of the sweep's definition and the fields of the configs, both from `--set`.

    Raises:
        SweepError: A name is unknown, a value is not allowed, or a field is given by a setting or by --seed as well.
    """
    make = find_definition(args.name).make
    settings, fields = separate_fields(make, args.settings)
    grid = parse_fields(fields)
    check_settings(grid, {text.partition("=")[0]: text for text in settings})
    if args.seed and "seed" in grid:
        raise SweepError(f"--seed {args.seed}: --set gives seed as well: leave one of them out")
    return parse_settings(args.name, make, settings), grid


def fetch_store(address: str) -> Store:
    """Opens a store and fetches its records and token files to this machine."""
    store = open_store(address)
    store.fetch_results()
    store.fetch_tokens()
    return store


def requested_slice(args: argparse.Namespace) -> PricedSlice | None:
    """Returns the slice that the arguments name with its price, None without --slice."""
    from sweeps.cost.quote import PRICES, priced_slice

    return priced_slice(args.slice, args.prices or PRICES, args.spot) if args.slice else None
