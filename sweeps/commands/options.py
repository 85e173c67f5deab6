"""Command-line arguments that several commands share, and functions that evaluate them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.config.user_code import parse_reference
from scaling.config.user_code.blocks import add_code_argument
from scaling.data import TOKENIZER_HELP
from sweeps.definitions import DEFINITIONS
from sweeps.definitions.from_configs import SUFFIXES
from sweeps.interface.request import SweepRequest

if TYPE_CHECKING:
    from sweeps.cost.quote import PricedSlice

SWEEP_HELP = (
    "a known sweep (see `list`), FILE.py:FUNCTION or package.module:FUNCTION, or run configs: files FILE.json or "
    "FILE.jsonl, a folder, or a pattern such as 'runs/*.json'"
)

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
    parser.add_argument("names", metavar="NAME", nargs="+", help=SWEEP_HELP)
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
        if text == "--dry-run" and names_sweep(following) and sum(map(names_sweep, out)) == 1:
            out[i] = "--dry-run="
    return out


def names_sweep(text: str) -> bool:
    """Whether an argument looks like the name of a sweep, also if it could be the new folder of --dry-run."""
    reference = parse_reference(text)
    is_reference = reference is not None and (reference.is_file or "." in reference.source)
    return text in DEFINITIONS or is_reference or text.endswith(SUFFIXES)


def add_definition_options(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a sweep's definition: corpus, tokenizer, seed and settings."""
    parser.add_argument("--corpus", help="corpus to train on (default: that of the sweep's definition or of its runs)")
    parser.add_argument("--tokenizer", default="bytes", help=TOKENIZER_HELP)
    parser.add_argument("--seed", type=int, default=0, help="seed of every run (default 0)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="name=value",
        help="setting of the sweep or its rules, such as budgets=1e18,1e19 (an unknown name lists all), or any field "
        "of the runs' configs, such as optimizer.weight_decay=0.05 schedule.name=cosine; several values of a field, as "
        "in optimizer.weight_decay=0.05,0.1, are a grid: each run once per value",
    )  # fmt: skip
    add_code_argument(parser)


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


def sweep_request(args: argparse.Namespace) -> SweepRequest:
    """Returns the sweep that the arguments name, whose name and settings are checked.

    They are checked first, because the preparation of the corpus, which comes next, can take minutes.

    Raises:
        SweepError: The sweep, a setting or a run config is not valid.
    """
    request = SweepRequest(
        source=args.names, name=getattr(args, "as_name", None), corpus=args.corpus, tokenizer=args.tokenizer,
        seed=args.seed, settings=args.settings, code=args.code,
    )  # fmt: skip
    request.check()
    return request


def requested_slice(args: argparse.Namespace) -> PricedSlice | None:
    """Returns the slice that the arguments name with its price, None without --slice."""
    from sweeps.cost.quote import PRICES, priced_slice

    return priced_slice(args.slice, args.prices or PRICES, args.spot) if args.slice else None
