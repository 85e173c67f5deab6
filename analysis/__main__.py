"""python -m analysis table | fit | figure | report: what the runs say."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.fit import Fit
    from analysis.points import Points

GOOD, FAILED, BAD = 0, 1, 2
SOURCE = "a store's folder, or a .csv, .tsv, .parquet or .jsonl file"


def parser() -> argparse.ArgumentParser:
    """The command line; nothing heavy is imported for --help."""
    top = argparse.ArgumentParser(prog="python -m analysis", description="Runs to laws, figures and reports.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    table = commands.add_parser("table", help="the runs of a store as a table")
    table.add_argument("source", metavar="STORE", help="a store's folder")
    table.add_argument("--csv", metavar="FILE", help="write every column as CSV (- for standard output)")
    _counting(table)

    fit = commands.add_parser("fit", help="fit a law and say how sure it is")
    fit.add_argument("source", metavar="SOURCE", help=SOURCE)
    fit.add_argument("--law", default="chinchilla", help="chinchilla (default), chinchilla-1, kaplan-n, power-c, ...")
    _reading(fit)
    fit.add_argument(
        "--kind", default="auto", help="of bootstrap: residuals, cases, or auto (default): by number of runs"
    )
    fit.add_argument("--weighting", default="noise", help="of chinchilla-2's minima: noise (default) or equal")
    fit.add_argument("--json", metavar="FILE", help="write the fit as JSON (- for standard output)")

    figure = commands.add_parser("figure", help="draw one figure")
    figure.add_argument("name", metavar="NAME", help="kaplan, curves, isoflop, contours or parity")
    figure.add_argument("source", metavar="SOURCE", help=SOURCE)
    figure.add_argument("--out", required=True, metavar="FILE", help="where to: .pdf, .png or .svg")
    figure.add_argument("--width", default="text", help="text (5.5 in, default) or column (3.25 in)")
    _reading(figure)

    report = commands.add_parser("report", help="every fit and figure in one HTML file")
    report.add_argument("source", metavar="SOURCE", help=SOURCE)
    report.add_argument("--out", required=True, metavar="DIR", help="folder to write report.html and the figures to")
    _reading(report)
    return top


def _reading(command: argparse.ArgumentParser) -> None:
    """Which points, and how they are fitted: the same options for a fit, a figure and a report."""
    command.add_argument(
        "--columns", metavar="N=..,D=..", help="columns of a file: N, D, C, L, budget, name, group, weight"
    )
    command.add_argument("--where", metavar="EXPR", help='rows to keep, such as "C<1e21 and N>=1e6"')
    command.add_argument("--objective", default="huber-log", help="huber-log (default), lse, mse-log, mse or lad")
    command.add_argument("--delta", type=float, help="where Huber's loss turns linear (default 1e-3)")
    command.add_argument("--bootstrap", type=int, default=1000, metavar="B", help="draws for the intervals (1000)")
    command.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
    command.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    _counting(command)


def _counting(command: argparse.ArgumentParser) -> None:
    command.add_argument("--flops", help="what C counts: 6nd, 6nd-nonembedding, exact or exact-full-attention")
    command.add_argument("--params", default="total", help="what N counts: total (default) or nonembedding")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; exit status 0 done, 1 could not fit, 2 bad input."""
    given = parser().parse_args(arguments)
    from analysis.where import DataError
    from scaling.record import StoreError

    try:
        return {"table": _table, "fit": _fit, "figure": _figure, "report": _report}[given.command](given)
    except (DataError, StoreError) as error:
        return _say(error, BAD)
    except OSError as error:
        return _say(f"{error.filename or 'output'}: {error.strerror}", BAD)
    except RuntimeError as error:
        from analysis.solve import FitError

        if not isinstance(error, FitError):
            raise
        return _say(error, FAILED)


def _say(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def _table(given: argparse.Namespace) -> int:
    from analysis import sources
    from scaling.record import write_atomic

    path = Path(given.source)
    if not path.is_dir():
        raise sources.DataError(f"{path}: not a store: give the folder that runs were trained into")
    frame = sources.runs(path, given.flops or "6nd", given.params)
    if given.csv == "-":
        frame.to_csv(sys.stdout, index=False)
        return GOOD
    if given.csv:
        write_atomic(Path(given.csv), frame.to_csv(index=False).encode())
        print(f"{given.csv}: {len(frame)} runs", file=sys.stderr)
        return GOOD
    _show_runs(frame)
    return GOOD


def _show_runs(frame: object) -> None:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    assert isinstance(frame, pd.DataFrame)
    shown = Table(title=f"{len(frame)} runs", title_justify="left")
    numbers = ("N", "D", "C", "loss")
    for name in ("run", "sweep", "status", *numbers):
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for _, row in frame.sort_values(["C", "N"]).iterrows():
        cells = ["" if pd.isna(row[name]) else f"{row[name]:.4g}" for name in numbers]
        shown.add_row(row["run_id"][:12], row["sweep"] or "", row["status"], *cells)
    Console().print(shown)


def _columns(text: str | None) -> dict[str, str] | None:
    from analysis.where import DataError

    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    bad = [name for name, equals, value in pairs if not (equals and name.strip() and value.strip())]
    if bad:
        raise DataError(f"--columns {text}: must be letter=column pairs such as N=params,L=val_loss")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _check(given: argparse.Namespace) -> None:
    """What can be wrong about the options themselves: bad input, not a failed fit."""
    from analysis import doubt, isoflop, laws
    from analysis.solve import OBJECTIVES
    from analysis.where import DataError

    for option, known in (
        ("law", laws.NAMES),
        ("objective", tuple(OBJECTIVES)),
        ("kind", doubt.KINDS),
        ("weighting", isoflop.WEIGHTINGS),
        ("width", ("text", "column")),
    ):
        value = getattr(given, option, known[0])
        if value not in known:
            raise DataError(f"--{option} {value}: known are {', '.join(known)}")
    for option, ok, allowed in (
        ("delta", given.delta is None or 0 < given.delta < float("inf"), "a number greater than 0"),
        ("level", 0 < given.level < 1, "a number between 0 and 1"),
        ("bootstrap", given.bootstrap >= 100, "at least 100 draws"),
        ("seed", given.seed >= 0, "0 or more"),
    ):
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")


def _choices(given: argparse.Namespace) -> dict[str, Any]:
    """What figures and reports are drawn with; what stands at its default is left out."""
    columns = {"columns": _columns(given.columns)} if given.columns else {}
    named = ("where", "objective", "delta", "bootstrap", "level", "seed", "flops", "params")
    default = vars(parser().parse_args(["report", "SOURCE", "--out", "DIR"]))
    return columns | {name: vars(given)[name] for name in named if vars(given)[name] != default[name]}


def _fit(given: argparse.Namespace) -> int:
    _check(given)
    from analysis.fit import fit
    from analysis.points import load
    from scaling.record import write_json

    points = load(
        given.source,
        columns=_columns(given.columns),
        where=given.where,
        flops=given.flops,
        params=given.params,
        curves=given.law == "chinchilla-1",
    )
    result = fit(
        points,
        given.law,
        objective=given.objective,
        delta=given.delta,
        bootstrap=given.bootstrap,
        seed=given.seed,
        level=given.level,
        kind=given.kind,
        weighting=given.weighting,
    )
    if given.json == "-":
        print(json.dumps(result.to_json(), indent=1, allow_nan=False))
        return GOOD
    _show_fit(result, points)
    if given.json:
        write_json(Path(given.json), result.to_json())
        print(f"{given.json}: written", file=sys.stderr)
    return GOOD


def _show_fit(fit: Fit, points: Points) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{fit.law}, {len(fit.points)} points of {points.source}", markup=False)
    for note in (points.convention, *points.notes, *fit.notes):
        console.print(note, style="dim", markup=False)
    shown = Table("parameter", "value", f"{fit.level:.0%} interval", box=None, pad_edge=False)
    rows = {name: (value, fit.intervals[name]) for name, value in fit.params.items()}
    if fit.optimum is not None and fit.law not in ("chinchilla-1", "chinchilla-2"):
        rows["a (N* ∝ C^a)"] = fit.optimum.a, fit.optimum.intervals["a"]
        rows["b (D* ∝ C^b)"] = fit.optimum.b, fit.optimum.intervals["b"]
    for name, (value, (low, high)) in rows.items():
        shown.add_row(name, f"{value:.5g}", f"{low:.4g} to {high:.4g}")
    console.print(shown)
    for times in fit.extrapolate if fit.optimum is not None else ():
        assert fit.optimum is not None
        at = fit.optimum.at(times * fit.optimum.largest)
        parts = [
            f"{name} = {at[name]:.3g} ({at['intervals'][name][0]:.3g} to {at['intervals'][name][1]:.3g})"
            for name in ("N", "D", "L")
            if name in at
        ]
        console.print(f"at {times:g}× the largest budget, C = {at['C']:.3g}: {', '.join(parts)}")
    delta = f", delta {fit.objective['delta']:g}" if "delta" in fit.objective else ""
    tried = f"; {fit.starts['agreed']} of {fit.starts['tried']} starts agree" if fit.starts["tried"] else ""
    console.print(f"objective: {fit.objective['name']}{delta}, value {fit.objective['value']:.7g}{tried}")
    console.print("verdict: " + "\n         ".join(fit.verdict), markup=False)


def _figure(given: argparse.Namespace) -> int:
    _check(given)
    from analysis.figures import save

    save(given.name, given.source, Path(given.out), width=given.width, **_choices(given))
    print(given.out)
    return GOOD


def _report(given: argparse.Namespace) -> int:
    _check(given)
    from analysis.report import write

    print(write(given.source, Path(given.out), **_choices(given)))
    return GOOD


if __name__ == "__main__":
    sys.exit(main())
