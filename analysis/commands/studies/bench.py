"""python -m analysis bench: times the fit of the Chinchilla law and compares it with plain SciPy."""

from __future__ import annotations

import argparse
from typing import Any

from analysis.commands.options import SOURCE
from analysis.commands.output import add_json_option, print_text, write_result
from analysis.data.options import ReadOptions
from analysis.studies.options import BenchOptions
from scaling.config.options import add_options, read_options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    bench = commands.add_parser("bench", help="time the Chinchilla fit and compare it with plain SciPy")
    bench.add_argument("source", metavar="SOURCE", nargs="?", help=f"{SOURCE} (default: 240 synthetic runs)")
    add_options(bench, ReadOptions, only=("columns", "where"))
    add_options(bench, BenchOptions)
    add_json_option(bench)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options, reading = read_options(BenchOptions, arguments), read_options(ReadOptions, arguments)
    from rich.console import Console  # here, so that --help stays fast

    from analysis.data.load import load
    from analysis.studies.bench import synthetic_points, time_fits

    points = load(arguments.source, options=reading) if arguments.source else synthetic_points(options.seed)
    with Console(stderr=True).status("") as status:
        times = time_fits(points, options, status.update)
    return write_result(times, arguments, lambda: _print_times(times))


def _print_times(times: dict[str, Any]) -> None:
    package, scipy, seconds, ratio = times["package"], times["scipy"], times["seconds"], times["ratio"]
    print_text(f"{times['points']} points of {times['source']}; Chinchilla, Huber 1e-3 on ln L; {times['cores']} cores")
    print_text(
        f"package: search {_text(package['search'])}, {package['draws']} bootstrap fits {_text(package['bootstrap'])}, "
        f"together {_text(seconds['package'])}; objective {package['objective']:.9g}"
    )
    print_text(f"         a complete fit with intervals and verdict: {_text(package['fit'])}")
    print_text(
        f"scipy:   L-BFGS-B from {scipy['starts']} starts {_text(scipy['search'])}, {scipy['draws']} BFGS bootstrap "
        f"fits {_text(scipy['bootstrap'])}, together {_text(seconds['scipy'])}; objective {scipy['objective']:.9g}"
    )
    if scipy["extrapolated"]:
        print_text(
            f"         extrapolated from {scipy['starts_timed']} timed starts and {scipy['draws_timed']} timed "
            "bootstrap fits"
        )
    bound = times["bound"]
    print_text(
        f"bound:   {bound['cpu_s']:.3f} s of one core for the operations alone, {bound['share']:.0%} of the "
        f"processor time of this package; {seconds['scipy']['cpu_s'] / bound['cpu_s']:.0f} times as fast as scipy"
    )
    print_text(
        f"ratio:   {ratio['wall_s']:.0f} times as fast by wall clock, {ratio['cpu_s']:.0f} by processor time; "
        f"objective {'not above' if times['lowest'] else 'ABOVE'} scipy's"
    )


def _text(seconds: dict[str, float]) -> str:
    digits = 3 if seconds["wall_s"] < 10 else 1
    return f"{seconds['wall_s']:.{digits}f} s (processor {seconds['cpu_s']:.{digits}f} s)"
