"""`python -m sweeps plan NAME` and `list`: list the runs of a sweep with its cost, and the known sweeps."""

from __future__ import annotations

import argparse

from scaling.config.exit_status import DONE
from scaling.config.text import printable, printable_lines
from scaling.store.damaged import print_damaged
from sweeps.commands import options
from sweeps.definitions import DEFINITIONS, find_definition
from sweeps.format import json_by_rows


def add(commands: options.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parsers of `list` and `plan`."""
    parser = commands.add_parser("list", help="list the known sweeps", description="list the known sweeps")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these, such as FILE.py:FUNCTION")
    parser = options.add_sweep_command(commands, "plan", "list the runs of a sweep and its cost", needs_store=False)
    options.add_definition_options(parser)
    options.add_slice_options(parser)
    options.add_pack_options(parser)
    options.add_mfu_option(parser)
    options.add_json_option(parser)


def run_list(args: argparse.Namespace) -> int:
    """Prints each sweep with the first line of its description and its corpus."""
    sweeps = {name: find_definition(name) for name in args.names} or DEFINITIONS
    width = max(map(len, sweeps))
    for name, sweep in sweeps.items():
        lines = (sweep.make.__doc__ or "").strip().splitlines()
        corpus = f"(corpus {sweep.corpus})" if sweep.corpus else "(the corpus of its runs)"
        print(printable(f"{name:<{width}}  {' '.join([*lines[:1], corpus])}"))
    return DONE


def run(args: argparse.Namespace) -> int:
    """Prints the plan as a table or as JSON."""
    from sweeps.interface.plan import PlanOptions, fetch_store, plan_request

    request = options.sweep_request(args)
    plan_options = PlanOptions(priced=options.requested_slice(args), mfu=args.mfu, pack=args.pack)
    store = fetch_store(args.store) if args.store else None
    result = plan_request(request, store, plan_options)
    if store is not None:
        print_damaged(store)
    print(json_by_rows({**result.to_json(), "sweep": request.label}) if args.json else printable_lines(str(result)))
    return DONE
