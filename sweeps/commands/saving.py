"""sweeps.commands.saving."""

from __future__ import annotations

import argparse
import json

from sweeps.commands.options import fetched, made
from sweeps.definitions import definition
from sweeps.planning.corpus import find_or_prepare


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
