"""scaling.commands.count."""

from __future__ import annotations

import argparse
import json


def count(args: argparse.Namespace) -> int:
    """Counts of a preset (FLOPs of one sequence) or of a run (all its training)."""
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
        return 0
    for title, figures in (("parameters", params), ("training FLOPs", flops)):
        print(title)
        for name, value in figures.items():
            print(f"  {name:32} {value:>28,}")
    return 0
