"""`python -m sweeps`: which runs, at what cost, and where."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.config.options import add_options
from scaling.config.validation import ConfigError
from scaling.store.files import StoreError
from sweeps.commands import next as following
from sweeps.commands.check import run_check
from sweeps.commands.launch import check_name, run_launch
from sweeps.commands.plan import run_list, run_plan
from sweeps.commands.saving import run_saving
from sweeps.commands.status import run_status
from sweeps.errors import PrepareError, SweepError
from sweeps.launching.options import LaunchOptions

if TYPE_CHECKING:
    pass

BAD_INPUT = 2
STOPPED = 75


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m sweeps", description="Which runs, at what cost, and where.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="the sweeps we know")

    def add(name: str, help: str, store: bool) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.add_argument("name", metavar="NAME", help="a sweep; `list` shows them")
        sub.add_argument(
            "--store", metavar="DIR", required=store, help="folder of runs and token files, or s3://..., gs://..."
        )
        return sub

    def add_what(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--corpus", help="the text to train on (default: the definition's own)")
        sub.add_argument("--tokenizer", default="bytes", help="bytes (default) or sentencepiece:V")
        sub.add_argument("--seed", type=int, default=0, help="of every run (default 0)")
        said = "a setting of the sweep, or of its rules, as budgets=1e18,1e19 (a wrong one lists all)"
        sub.add_argument("--set", dest="settings", action="append", default=[], metavar="name=value", help=said)

    def add_slice(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--slice", metavar="T", help="TPU slice whose hours and dollars are meant, as v5e-16")
        sub.add_argument("--spot", action="store_true", help="at the spot price")
        sub.add_argument("--prices", type=Path, metavar="FILE", help="your copy of sweeps/cost/prices.json")

    def add_pack(sub: argparse.ArgumentParser) -> None:
        said = "runs of one shape trained as one program, at most (local engine; default: as many as pay)"
        sub.add_argument("--pack", type=int, metavar="SIZE", help=said)
        sub.add_argument("--no-pack", dest="pack", action="store_const", const=0, help="no packs, wherever it runs")

    planning = add("plan", "the runs of a sweep, and the whole cost", store=False)
    add_what(planning)
    add_slice(planning)
    add_pack(planning)
    planning.add_argument("--mfu", type=float, default=0.4, help="share of the slice's peak reached (default 0.4)")
    planning.add_argument("--json", action="store_true", help="for a program to read")

    checking = add("check", "what can be checked before a launch", store=True)
    add_what(checking)
    checking.add_argument("--topology", metavar="T", help="a TPU slice to compile every shape for, as v5e-16")
    checking.add_argument("--place", action="append", default=[], metavar="field=value", help="as of scaling train")
    checking.add_argument("--json", action="store_true", help="for a program to read")

    launching = add("launch", "run what is left of a sweep", store=True)
    add_what(launching)
    launching.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the engine")
    launching.add_argument("--dry-run", action="store_true", help="print the engine's files and commands, start none")
    add_options(launching, LaunchOptions)
    add_pack(launching)
    launching.add_argument("--wandb", nargs="?", const="online", metavar="offline", help="to Weights & Biases too")
    launching.add_argument("--place", action="append", default=[], metavar="field=value", help="as of scaling train")
    add_slice(launching)
    launching.add_argument("--cap-flops", type=float, metavar="C", help="stop the sweep before it is over so many")
    launching.add_argument("--cap-hours", type=float, metavar="H", help="or so many hours of this machine or slice")
    launching.add_argument("--cap-usd", type=float, metavar="USD", help="or so many dollars of --slice")
    launching.add_argument("--as", dest="as_name", metavar="NAME", help="name of the sweep in the store")

    asking = add("status", "what is done, running, waiting, failed and why", store=True)
    asking.add_argument("--json", action="store_true", help="for a program to read")
    asking.add_argument("--html", type=Path, metavar="FILE", help="as one page, which refreshes itself")
    asking.add_argument(
        "--watch", type=float, nargs="?", const=5.0, metavar="SECONDS", help="again every so often (default 5)"
    )
    add_slice(asking)
    asking.add_argument("--mfu", type=float, default=0.4, help="share of the slice's peak quoted (default 0.4)")
    saving = add("saving", "what sharing and packs save: launched as it is and as one process a run", store=True)
    add_what(saving)
    saving.add_argument("--rounds", type=int, default=1, help="both ways so often, in turn; from 2 on, quoted before")
    saving.add_argument("--workers", type=int, metavar="K", help="as of launch, of the one that shares")
    saving.add_argument("--cold", action="store_true", help="a third way too: a process a run, compiling for itself")
    add_pack(saving)
    saving.add_argument("--json", action="store_true", help="for a program to read")
    following.add(commands)
    return top


def run_next(args: argparse.Namespace) -> int:
    """`next`: the advice, and its launch where a name is given."""
    check_name("--launch", args.launch)
    return following.run(args)


COMMANDS = {
    "list": run_list,
    "plan": run_plan,
    "check": run_check,
    "launch": run_launch,
    "status": run_status,
    "saving": run_saving,
    "next": run_next,
}


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 some run failed, 2 bad input, 3 stopped at a cap, 75 stopped (launch again)."""
    args = parser().parse_args(argv)
    try:
        return COMMANDS[args.command](args)
    except (SweepError, StoreError, ConfigError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except PrepareError as error:
        return error.status
    except KeyboardInterrupt:
        print("stopped: nothing is half-made, run the same command again", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
