"""Options that several commands share, and the checks of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

GOOD, FAILED, BAD = 0, 1, 2
SOURCE = "a store's folder, or a .csv, .tsv, .parquet, .json or .jsonl file"


def reading(command: argparse.ArgumentParser) -> None:
    """Which points, and how they are fitted: the same options for a fit, a figure and a report."""
    command.add_argument(
        "--columns", metavar="N=..,D=..", help="columns of a source: N, D, C, L, budget, name, group, weight"
    )
    command.add_argument(
        "--units",
        metavar="N=..,L=..",
        help="of columns: N=billions, D=millions, C=pfdays or 1e21, L=bits or perplexity",
    )
    command.add_argument("--drop-bad", action="store_true", help="leave rows with bad cells out, and name them")
    command.add_argument("--where", metavar="EXPR", help='rows to keep, such as "C<1e21 and N>=1e6"')
    command.add_argument(
        "--objective", help="huber-log, lse, mse-log, mse-log1p, mse, huber or lad (default: the law's own)"
    )
    command.add_argument("--delta", type=float, help="where Huber's loss turns linear (default 1e-3)")
    command.add_argument(
        "--undertuned", type=float, metavar="TAU", help="runs above the law count TAU, those below 1 - TAU (0.5: alike)"
    )
    command.add_argument(
        "--weights", default="column", help="of runs: column (default; its own), seeds (by noise between them) or even"
    )
    command.add_argument("--bootstrap", type=int, default=1000, metavar="B", help="draws for the intervals (1000)")
    command.add_argument("--level", type=float, default=0.95, help="of the intervals (default 0.95)")
    command.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    counting(command)


def counting(command: argparse.ArgumentParser) -> None:
    command.add_argument("--flops", help="what C counts: 6nd, 6nd-nonembedding, exact or exact-full-attention")
    command.add_argument("--params", default="total", help="what N counts: total (default) or nonembedding")


def chosen(given: argparse.Namespace) -> dict[str, Any]:
    """The options of `reading` as what fit and figures take them; what stands at its default is left out."""
    plain = argparse.ArgumentParser()
    reading(plain)
    kept = {name: vars(given)[name] for name, value in vars(plain.parse_args([])).items() if vars(given)[name] != value}
    pairs = {"columns": columns(given.columns), "units": columns(given.units, "units", "N=billions,L=bits")}
    return kept | {name: value for name, value in pairs.items() if value}


def say(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def columns(text: str | None, option: str = "columns", such: str = "N=params,L=val_loss") -> dict[str, str] | None:
    from analysis.errors import DataError

    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    bad = [name for name, equals, value in pairs if not (equals and name.strip() and value.strip())]
    if bad:
        raise DataError(f"--{option} {text}: must be pairs such as {such}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def numbers(option: str, text: str | None) -> dict[str, float] | None:
    """`name=number,...` as a mapping; DataError for what is not a number."""
    from analysis.errors import DataError

    pairs = columns(text, option, "E=1.69,alpha=0.34")
    try:
        return None if pairs is None else {name: float(value) for name, value in pairs.items()}
    except ValueError:
        raise DataError(f"--{option} {text}: must be pairs of a name and a number such as E=1.69") from None


def check(given: argparse.Namespace) -> None:
    """What can be wrong about the options themselves: bad input, not a failed fit."""
    from analysis import laws
    from analysis.errors import DataError
    from analysis.fitting import isoflop
    from analysis.solver.objective import OBJECTIVES
    from analysis.uncertainty import bootstrap, intervals, seed_noise

    if getattr(given, "law", None) and given.law not in laws.NAMES:
        laws.find(given.law)
    for option, known in (
        ("objective", tuple(OBJECTIVES)),
        ("kind", bootstrap.KINDS),
        ("intervals", intervals.INTERVALS),
        ("weighting", isoflop.WEIGHTINGS),
        ("weights", seed_noise.WEIGHTS),
        ("minimum", isoflop.MINIMA),
        ("width", ("text", "column")),
    ):
        value = getattr(given, option, None)
        if value is not None and value not in known:
            raise DataError(f"--{option} {value}: known are {', '.join(known)}")
    undertuned = getattr(given, "undertuned", None)
    for option, ok, allowed in (
        ("delta", given.delta is None or 0 < given.delta < float("inf"), "a number greater than 0"),
        ("undertuned", undertuned is None or 0 < undertuned <= 0.5, "above 0 and at most 0.5"),
        ("level", 0 < given.level < 1, "a number between 0 and 1"),
        ("bootstrap", given.bootstrap >= 100, "at least 100 draws"),
        ("seed", given.seed >= 0, "0 or more"),
        ("beyond", getattr(given, "beyond", 1.0) >= 1, "1 or more"),
    ):
        if not ok:
            raise DataError(f"--{option} {getattr(given, option)}: must be {allowed}")
