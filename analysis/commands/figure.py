"""python -m analysis figure and report: pictures, and a whole page."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.commands import options


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    figure = commands.add_parser("figure", help="draw one figure")
    figure.add_argument(
        "name",
        metavar="NAME",
        help="kaplan, curves, isoflop, contours, parity, law, profile, conventions, transfer, coordinates, attention, "
        "grokking, double-descent, emergence, metrics, accuracy-loss, shots, calibration, extraction",
    )
    figure.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    figure.add_argument("--out", required=True, metavar="FILE", help="where to: .pdf, .png or .svg")
    figure.add_argument("--law", help="that law, profile, contours and parity show (chinchilla)")
    figure.add_argument("--width", default="text", help="text (5.5 in, default) or column (3.25 in)")
    options.reading(figure)

    report = commands.add_parser("report", help="every fit and figure in one HTML file")
    report.add_argument("source", metavar="SOURCE", help=options.SOURCE)
    report.add_argument("--out", required=True, metavar="DIR", help="folder to write report.html and the figures to")
    options.reading(report)


def figure(given: argparse.Namespace) -> int:
    options.check(given)
    from analysis.figures.save import save

    save(given.name, given.source, Path(given.out), width=given.width, law=given.law, **options.chosen(given))
    print(given.out)
    return options.GOOD


def report(given: argparse.Namespace) -> int:
    options.check(given)
    from analysis.report.build import write

    print(write(given.source, Path(given.out), **options.chosen(given)))
    return options.GOOD
