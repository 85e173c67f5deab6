"""`python -m scaling count PRESET|CONFIG.json`: counts parameters and training FLOPs from the config alone."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE

DEFAULT_LENGTH = 2048  # tokens of a preset's sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("model", metavar="PRESET|CONFIG.json", help="name of a preset, or config of a run")
    parser.add_argument(
        "--length", type=int, metavar="L", help=f"tokens of the sequence of a preset (default {DEFAULT_LENGTH})"
    )
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the counts of a preset (FLOPs of training on one sequence) or of a run (FLOPs of its whole training)."""
    from scaling.config.presets import preset
    from scaling.config.run import load_configs
    from scaling.config.validation import ConfigError
    from scaling.models import counts

    if args.model.endswith(".json"):
        if args.length is not None:
            raise ConfigError(f"--length {args.length}: only with a preset; a run's is its data.length")
        config = load_configs([args.model], code=args.code)[0]
        model, flops = config.model, counts.run_flops(config)
        length, sequences = config.data.length, config.sequences(config.steps)
        scope = f"the whole run, {sequences:,} sequences of {length:,} tokens"
    else:
        length, sequences = DEFAULT_LENGTH if args.length is None else args.length, 1
        if length < 1:
            raise ConfigError(f"--length {length}: must be 1 or more")
        model = preset(args.model)
        flops = counts.training_flops(model, length, sequences)
        scope = f"one sequence of {length:,} tokens"
    params = counts.parameters(model)
    if args.json:
        print(json.dumps({"params": params, "flops": flops, "sequences": sequences, "length": length}))
        return DONE
    for title, group_counts in (("parameters", params), (f"training FLOPs of {scope}", flops)):
        print(title)
        for name, value in group_counts.items():
            print(f"  {name:32} {value:>28,}")
    return DONE
