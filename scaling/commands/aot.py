"""`python -m scaling aot PRESET|CONFIG.json --topology T`: compiles a training step for a TPU slice, without a TPU."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from scaling.config.exit_status import DONE, FAILED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("model", metavar="PRESET|CONFIG.json", help="name of a preset, or config of a run")
    parser.add_argument("--topology", required=True, metavar="T", help="TPU slice, such as v5e-16")
    parser.add_argument("--place", action="append", default=[], metavar="field=value", help="placement, as for `train`")
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the config")
    parser.add_argument(
        "--batch", type=int, metavar="B", help="sequences per step (default for a preset: one per chip)"
    )
    parser.add_argument(
        "--length", type=int, metavar="L", help="context length in tokens (default for a preset: at most 2048)"
    )
    parser.add_argument("--no-advice", action="store_true", help="do not try placements that need less memory")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder of cached results (default: user's cache)")
    parser.add_argument("--fresh", action="store_true", help="compile even if a result is cached")
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints whether the step fits; DONE where it does, FAILED where it does not."""
    from scaling.aot.check import as_text, check_fit, requested_config
    from scaling.config.placement import Placement
    from scaling.config.run import override, resolve_code
    from scaling.config.user_code.blocks import named_sources, use_code
    from scaling.counting.tpu import tpu_slice

    topology, placement = tpu_slice(args.topology), override(Placement(), args.place, "--place")
    use_code([*args.code, *named_sources(args.set)])
    config = resolve_code(override(requested_config(args.model, topology, args.batch, args.length), args.set))
    result = check_fit(config, placement, topology.name, advice=not args.no_advice, fresh=args.fresh, folder=args.cache)
    print(json.dumps(result) if args.json else as_text(result))
    return DONE if result["fits"] else FAILED
