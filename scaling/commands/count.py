"""`python -m scaling count PRESET|CONFIG.json`: counts parameters and training FLOPs from the config alone."""

from __future__ import annotations

import argparse
import dataclasses
import json

from scaling.config.exit_status import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("model", metavar="PRESET|CONFIG.json", help="name of a preset, or config of a run")
    parser.add_argument("--length", type=int, metavar="L", help="tokens of the sequence of a preset (default 2048)")
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the counts of a preset (FLOPs of training on one sequence) or of a run (FLOPs of its whole training)."""
    from scaling.commands.interface.count import count

    counts = count(args.model, length=args.length, code=args.code)
    if args.json:
        print(json.dumps(dataclasses.asdict(counts)))
        return DONE
    scope = f"one sequence of {counts.length:,} tokens"
    if args.model.endswith(".json"):
        scope = f"the whole run, {counts.sequences:,} sequences of {counts.length:,} tokens"
    for title, group_counts in (("parameters", counts.params), (f"training FLOPs of {scope}", counts.flops)):
        print(title)
        for name, value in group_counts.items():
            print(f"  {name:32} {value:>28,}")
    return DONE
