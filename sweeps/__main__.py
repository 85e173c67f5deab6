"""`python -m sweeps`: which runs, at what cost, and where."""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError, to_dict
from scaling.store.files import StoreError
from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps import next as following
from sweeps.definitions import DEFINITIONS, definition
from sweeps.errors import PrepareError, SweepError
from sweeps.planning.corpus import Corpus, find_or_prepare, for_planning
from sweeps.planning.plan import Plan, plan
from sweeps.planning.settings import settings

if TYPE_CHECKING:
    from sweeps.cost.quote import Slice

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
    launching.add_argument("--engine", default="local", help="where (default: local, this machine)")
    launching.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the engine")
    launching.add_argument("--dry-run", action="store_true", help="print the engine's files and commands, start none")
    launching.add_argument(
        "--workers", type=int, metavar="K", help="processes here at once (default: one a core of a CPU)"
    )
    add_pack(launching)
    launching.add_argument("--separate", action="store_true", help="a process a run, nothing shared: to compare")
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


def make_plan(args: argparse.Namespace, corpus: Corpus, store: Store | None) -> Plan:
    """The plan of the sweep the arguments name."""
    return plan(made(args, corpus), corpus, store)


def made(args: argparse.Namespace, corpus: Corpus) -> list[RunConfig]:
    """The runs of the sweep the arguments name, with its settings."""
    make = definition(args.name).make
    return make(corpus, seed=args.seed, **settings(args.name, make, args.settings))


def run_list(args: argparse.Namespace) -> int:
    """`list`: each sweep in a line."""
    width = max(len(name) for name in DEFINITIONS)
    for name, known in DEFINITIONS.items():
        text = (known.make.__doc__ or "").strip().splitlines()[0]
        print(f"{name:<{width}}  {text} (corpus {known.corpus})")
    return 0


def run_plan(args: argparse.Namespace) -> int:
    """`plan`: the table, or JSON."""
    from sweeps.cost import sharing_saved
    from sweeps.cost.compiled_time import longer
    from sweeps.cost.pace import pace, seconds_left
    from sweeps.cost.quote import quote
    from sweeps.planning import sharing
    from sweeps.planning.plan import as_json, as_text, cost
    from sweeps.planning.workers import useful_pack, useful_workers

    on = slice_of(args)
    store = fetched(args.store) if args.store else None
    corpus_name = args.corpus or definition(args.name).corpus
    with ExitStack() as stack:
        corpus = stack.enter_context(for_planning(store.root if store else None, corpus_name, args.tokenizer))
        planned = make_plan(args, corpus, store)
        left = cost(planned)["flops_left"]
        measured = pace(store) if store and left else None
        rate = left / seconds_left(planned, measured) if measured else None
        work = ((to_dict(run.config), run.config.steps - run.from_step, run.flops_to_run) for run in planned.left)
        quoted = quote(left, on, args.mfu, longer(store, work, on, args.mfu) if store else 0.0) if on else None
        size, why = useful_pack() if args.pack is None else (args.pack, "as asked")
        found = sharing.graph([run.config for run in planned.runs], size, planned.starts)
        saving = sharing_saved.saved(planned, found, useful_workers(), pace(store) if store else None)
        if args.json:
            whole = {**as_json(planned, rate, quoted), "graph": sharing_saved.as_json(found, saving)}
            print(json.dumps({"sweep": args.name, **whole}, indent=1, allow_nan=False))
        else:
            print(as_text(planned, rate, quoted, sharing_saved.as_text(found, saving, size, why)))
    return 0


def fetched(where: str) -> Store:
    """The store, its records and token files on this machine."""
    store = open_store(where)
    store.fetch_results()
    store.fetch_tokens()
    return store


def slice_of(args: argparse.Namespace) -> Slice | None:
    """The slice that the arguments name, at its price."""
    from sweeps.cost.quote import PRICES, slice_named

    return slice_named(args.slice, args.prices or PRICES, args.spot) if args.slice else None


def run_check(args: argparse.Namespace) -> int:
    """`check`: each finding in a line, then a row for each shape that was compiled; 1 where one does not fit."""
    from sweeps import ahead
    from sweeps.check import check

    if args.place and not args.topology:
        raise SweepError(f"--place {args.place[0]}: is of a compilation: add --topology")
    corpus_name = args.corpus or definition(args.name).corpus
    store = fetched(args.store)
    store.check_writable()
    corpus = find_or_prepare(store.root, corpus_name, args.tokenizer)
    store.put_tokens()
    planned = make_plan(args, corpus, store)
    found = check(planned, store)
    if not args.json:
        print("\n".join(found), flush=True)
    rows = ahead.check_ahead(planned, store, args.topology, args.place) if args.topology else []
    if args.json:
        compiled = {"topology": args.topology, "shapes": rows} if args.topology else {}
        print(json.dumps({"sweep": args.name, "findings": found, **compiled}, indent=1, allow_nan=False))
    elif args.topology:
        print(f"\n{ahead.as_text(rows, args.topology)}")
    return 0 if all(one["fits"] for one in rows) else 1


def run_launch(args: argparse.Namespace) -> int:
    """`launch`: the bar, then a summary."""
    from sweeps.cost.caps import Caps
    from sweeps.engines import engine
    from sweeps.launch import dry_run, launch

    engine(args.engine)
    wrong = [text for text in args.option if not text.partition("=")[1]]
    if wrong:
        raise SweepError(f"--option {wrong[0]}: must be NAME=VALUE")
    options = {name: value for name, _, value in (text.partition("=") for text in args.option)}
    known = definition(args.name)
    caps = Caps(flops=args.cap_flops, hours=args.cap_hours, usd=args.cap_usd, on=slice_of(args))
    check_name("--as", args.as_name)
    placement = placement_of(args)
    store = fetched(args.store)
    store.check_writable()
    corpus = find_or_prepare(store.root, args.corpus or known.corpus, args.tokenizer)
    store.put_tokens()
    configs = made(args, corpus)
    name = args.as_name or args.name
    if args.dry_run:
        print(dry_run(store, name, configs, corpus, args.engine, options))
        return 0
    status = launch(
        store,
        name,
        configs,
        corpus,
        engine_name=args.engine,
        engine_options=options,
        separate=args.separate,
        caps=caps,
        workers=args.workers,
        placement=placement,
        tasks=known.tasks,
        pack=args.pack,
    )
    if status == 0 and known.found is not None:  # sweeps knows nothing of analysis but its door
        subprocess.run([sys.executable, "-m", "analysis", known.found, str(args.store)], check=False)
    return status


def check_name(option: str, name: str | None) -> None:
    """SweepError where a sweep cannot have the name, which is one of a file of the store."""
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise SweepError(f"{option} {name}: a name is letters, digits, '_', '-' and '.', no path")


def placement_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of Placement that a launch sets, checked."""
    from importlib.util import find_spec

    asked = [f"wandb={args.wandb}"] if args.wandb else []
    usual = to_dict(Placement())
    placement = {k: v for k, v in to_dict(override(Placement(), [*asked, *args.place])).items() if v != usual[k]}
    if placement.get("wandb") and args.engine == "local" and find_spec("wandb") is None:
        raise SweepError("--wandb: the package wandb is not installed: pip install 'scaling[wandb]', or leave it out")
    return placement


def run_status(args: argparse.Namespace) -> int:
    """`status`: what is done, under way and left, once or again and again; as text, JSON or a page."""
    from sweeps.format import terminal_size
    from sweeps.screen import as_text
    from sweeps.status import status
    from sweeps.watch import watch

    if args.watch is not None and (args.json or not 0.1 <= args.watch < 1e6):
        raise SweepError(f"--watch {args.watch:g}: seconds, 0.1 or more, and without --json")
    store, on = open_store(args.store), slice_of(args)
    known: dict[str, Any] = {}

    def look() -> dict[str, Any]:
        store.fetch_results()
        return status(store, args.name, on=on, mfu=args.mfu, known=known if args.watch else None)

    def write(found: dict[str, Any]) -> Path:
        from sweeps.page import write_page

        return write_page(args.html, store, found, every=args.watch)

    if args.watch is not None:
        return watch(look, args.watch, write if args.html else None)
    gc.disable()  # ten thousand small records hold no cycles, and we end soon
    found = look()
    if args.html:
        print(write(found))
    if args.json:
        print(json.dumps(found, indent=1, allow_nan=False))
    elif not args.html:
        print(as_text(found, terminal_size()[0]))
    return 0


def run_saving(args: argparse.Namespace) -> int:
    """`saving`: seconds both ways, how the records differ, the quote beside the measurement."""
    from sweeps.cost.sharing_measured import as_text, measure

    store = fetched(args.store)
    store.check_writable()
    corpus_name = args.corpus or definition(args.name).corpus
    corpus = find_or_prepare(store.root, corpus_name, args.tokenizer)
    words = ["--corpus", corpus_name, "--tokenizer", args.tokenizer, "--seed", str(args.seed)]
    words += [word for setting in args.settings for word in ("--set", setting)]
    more = [f"--{name}={value}" for name in ("workers", "pack") if (value := getattr(args, name)) is not None]
    found = measure(store, args.name, made(args, corpus), corpus, words, more, args.rounds, args.cold)
    print(json.dumps(found, indent=1, allow_nan=False) if args.json else as_text(found))
    return 0


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
