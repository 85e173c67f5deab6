"""`python -m scaling coordinates CONFIG.json`: coordinate check of a parametrisation over width or depth."""

from __future__ import annotations

import argparse
import json
import sys

from scaling.config.exit_status import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("config", metavar="CONFIG.json", help="config whose model is resized; its data are not read")
    parser.add_argument("--widths", metavar="W,W,...", help="widths to measure (default 64,128,256 without --depths)")
    parser.add_argument("--depths", metavar="L,L,...", help="numbers of layers to measure instead of widths")
    parser.add_argument("--steps", type=int, default=5, help="training steps at the peak learning rate (default 5)")
    parser.add_argument(
        "--parametrizations",
        metavar="P,P",
        help="parametrisations to compare (default: standard,mup for widths; mup,completep for depths)",
    )
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the config")
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measures each size under each parametrisation and prints a table or JSON."""
    from scaling.bench import coordinates
    from scaling.config.run import load_configs
    from scaling.config.validation import ConfigError

    if args.widths and args.depths:
        raise ConfigError("--widths and --depths: give only one of them")
    if args.steps < 1:
        raise ConfigError(f"--steps {args.steps}: must be 1 or more")
    kind = "depths" if args.depths else "widths"
    field = coordinates.SIZE_FIELDS[kind]
    sizes = parse_sizes(kind, args.depths or args.widths or "64,128,256")
    config = load_configs([args.config], args.set, args.code)[0]
    if config.model.kind != "decoder":
        raise ConfigError(f"ModelConfig.kind = {config.model.kind!r}: the coordinate check needs a 'decoder'")
    names = (args.parametrizations or coordinates.DEFAULT_PARAMETRIZATIONS[kind]).split(",")
    resized = [
        (name, coordinates.resized_config(config, name, kind, size, sizes[0])) for name in names for size in sizes
    ]
    rows: list[coordinates.Row] = []
    for done, (name, resized_run) in enumerate(resized):
        print(f"{done + 1}/{len(resized)}: {name}, {field} {getattr(resized_run.model, field)}", file=sys.stderr)
        shape = {"parametrization": name, "width": resized_run.model.width, "layers": resized_run.model.layers}
        rows += [{**shape, **row} for row in coordinates.measure_activations(resized_run, args.steps)]
    exponents = coordinates.growth_exponents(rows, field)
    if args.json:
        result = {"steps": args.steps, "along": field, "rows": rows, "slopes": exponents}
        print(json.dumps(result, allow_nan=False))
    else:
        print(coordinates.as_text(rows, exponents, field, args.steps))
    return DONE


def parse_sizes(kind: str, text: str) -> list[int]:
    """Parses "64,128,256"; ConfigError unless there are two or more different positive integers.

    Args:
        kind: "widths" or "depths".
        text: The text.
    """
    from scaling.config.validation import ConfigError

    parts = text.split(",")
    if len(parts) < 2 or not all(part.isdecimal() and int(part) > 0 for part in parts) or len({*parts}) < len(parts):
        raise ConfigError(f"--{kind} {text}: must be two or more different whole numbers, separated by commas")
    return sorted(map(int, parts))
