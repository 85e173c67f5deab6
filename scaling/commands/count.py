"""`python -m scaling count PRESET|CONFIG.json`: counts parameters and training FLOPs from the config alone."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", metavar="PRESET|CONFIG.json", help="name of a preset, or config of a run")
    parser.add_argument(
        "--length", type=int, default=2048, metavar="L", help="context length of a preset, in tokens (default 2048)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the counts of a preset (FLOPs of one sequence) or of a run (FLOPs of its whole training)."""
    from scaling.config.presets import preset
    from scaling.config.run import load
    from scaling.config.validation import ConfigError
    from scaling.models import counts

    if args.model.endswith(".json"):
        config = load(args.model)
        model, flops = config.model, counts.run_flops(config)
    else:
        if args.length < 1:
            raise ConfigError(f"--length {args.length}: must be 1 or more")
        model = preset(args.model)
        flops = counts.training_flops(model, args.length, 1)
    params = counts.parameters(model)
    if args.json:
        print(json.dumps({"params": params, "flops": flops}))
        return DONE
    for title, group_counts in (("parameters", params), ("training FLOPs", flops)):
        print(title)
        for name, value in group_counts.items():
            print(f"  {name:32} {value:>28,}")
    return DONE
