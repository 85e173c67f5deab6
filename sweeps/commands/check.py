"""sweeps.commands.check."""

from __future__ import annotations

import argparse
import json

from sweeps.commands.options import fetched, make_plan
from sweeps.definitions import definition
from sweeps.errors import SweepError
from sweeps.planning.corpus import find_or_prepare


def run_check(args: argparse.Namespace) -> int:
    """`check`: each finding in a line, then a row for each shape that was compiled; 1 where one does not fit."""
    from sweeps.launching import check_topology
    from sweeps.launching.check import check_sweep

    if args.place and not args.topology:
        raise SweepError(f"--place {args.place[0]}: is of a compilation: add --topology")
    corpus_name = args.corpus or definition(args.name).corpus
    store = fetched(args.store)
    store.check_writable()
    corpus = find_or_prepare(store.root, corpus_name, args.tokenizer)
    store.upload_tokens()
    planned = make_plan(args, corpus, store)
    found = check_sweep(planned, store)
    if not args.json:
        print("\n".join(found), flush=True)
    rows = check_topology.compile_shapes(planned, store, args.topology, args.place) if args.topology else []
    if args.json:
        compiled = {"topology": args.topology, "shapes": rows} if args.topology else {}
        print(json.dumps({"sweep": args.name, "findings": found, **compiled}, indent=1, allow_nan=False))
    elif args.topology:
        print(f"\n{check_topology.as_text(rows, args.topology)}")
    return 0 if all(one["fits"] for one in rows) else 1
