"""`python -m scaling bench sae`: training of sparse autoencoders beside SAELens, on the same activations."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench sae`."""
    from scaling.bench.sae.options import SaeBenchOptions
    from scaling.config.options import add_options

    add_options(parser, SaeBenchOptions)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measures both and prints a table or JSON."""
    from scaling.bench.sae import compare
    from scaling.bench.sae.options import SaeBenchOptions
    from scaling.config.options import read_options

    result = compare.compare_training(read_options(SaeBenchOptions, args))
    print(json.dumps(result) if args.json else compare.as_text(result))
    return DONE
