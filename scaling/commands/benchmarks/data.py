"""`python -m scaling bench data`: how quickly a corpus is prepared, and read from an object store with delays."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE

PARTS = ("prepare", "read")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench data`."""
    from scaling.bench.data.options import PreparingOptions, ReadingOptions
    from scaling.config.options import add_options

    parser.add_argument("--only", choices=PARTS, help="measure only this (default: both)")
    add_options(parser.add_argument_group("preparation"), PreparingOptions)
    add_options(parser.add_argument_group("reading"), ReadingOptions)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measures preparation and reading, and prints lines or JSON."""
    from scaling.bench.data.options import PreparingOptions, ReadingOptions
    from scaling.config.options import read_options

    lines, results = list[str](), dict[str, object]()
    if args.only != "read":
        from scaling.bench.data import prepare

        results["prepare"] = prepared = prepare.measure_preparation(read_options(PreparingOptions, args))
        lines += prepare.as_lines(prepared)
    if args.only != "prepare":
        from scaling.bench.data import read

        reading = read_options(ReadingOptions, args)
        results["read"] = measured = read.measure_reading(reading)
        lines += read.as_lines(measured, reading)
    print(json.dumps(results) if args.json else "\n".join(lines))
    return DONE
