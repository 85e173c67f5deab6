"""`python -m sweeps check NAME`: checks a sweep before its launch."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE, FAILED
from scaling.config.text import printable
from scaling.store.damaged import damaged_files, print_damaged
from sweeps.commands import options
from sweeps.errors import SweepError


def add(commands: options.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `check`."""
    parser = options.add_sweep_command(commands, "check", "check a sweep before its launch")
    options.add_definition_options(parser)
    parser.add_argument("--topology", metavar="T", help="compile every shape for this TPU slice, such as v5e-16")
    options.add_place_option(parser)
    options.add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Prints each finding, then a row per compiled shape; FAILED where one does not fit."""
    from sweeps.interface.launch import prepare_corpus
    from sweeps.interface.plan import fetch_store
    from sweeps.launching import check_topology
    from sweeps.launching.check import check_sweep

    if args.place and not args.topology:
        raise SweepError(f"--place {args.place[0]}: applies to compilation: add --topology")
    request = options.sweep_request(args)
    store = fetch_store(args.store)
    plan = request.plan(prepare_corpus(request, store), store)
    findings = check_sweep(plan, store)
    print_damaged(store)
    if not args.json:
        print("\n".join(map(printable, findings)), flush=True)
    rows = check_topology.compile_shapes(plan, store, args.topology, args.place) if args.topology else []
    if args.json:
        compiled = {"topology": args.topology, "shapes": rows} if args.topology else {}
        result = {"sweep": request.label, "findings": findings, **compiled, "damaged": damaged_files(store)}
        print(json.dumps(result, indent=1, allow_nan=False))
    elif args.topology:
        print(f"\n{check_topology.as_text(rows, args.topology)}")
    return DONE if all(row["fits"] for row in rows) else FAILED
