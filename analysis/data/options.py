"""Options of reading a source, used by `load` and as flags of every command that reads points.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.errors import DataError
from scaling.config.options import option


def parse_pairs(example: str) -> Callable[[str, str], dict[str, str]]:
    """Returns a parser for the text of a flag such as `--columns N=params,L=val_loss`.

    Args:
        example: Valid text, which the error message shows.
    """

    def parse(flag: str, text: str) -> dict[str, str]:
        pairs = [part.partition("=") for part in text.split(",")]
        if not all(equals and name.strip() and value.strip() for name, equals, value in pairs):
            raise DataError(f"{flag} {text}: must be pairs such as {example}")
        return {name.strip(): value.strip() for name, _, value in pairs}

    return parse


def parse_numbers(example: str) -> Callable[[str, str], dict[str, float]]:
    """Returns a parser for the text of a flag such as `--fix E=1.69,alpha=0.34`.

    Args:
        example: Valid text, which the error message shows.
    """

    def parse(flag: str, text: str) -> dict[str, float]:
        try:
            return {name: float(value) for name, value in parse_pairs(example)(flag, text).items()}
        except DataError:
            raise
        except ValueError:
            raise DataError(f"{flag} {text}: must be pairs of a name and a number such as {example}") from None

    return parse


def parse_names(flag: str, text: str) -> tuple[str, ...]:
    """Parses the text of a flag that lists names, such as `--runs model,seed`.

    Args:
        flag: The flag, for the error message.
        text: Its text.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise DataError(f"{flag} {text}: must be names separated by commas")
    return names


def parse_positive(example: str, separator: str = ",") -> Callable[[str, str], tuple[float, ...]]:
    """Returns a parser for the text of a flag that lists positive numbers, such as `--budget 1e21,1e24`.

    Args:
        example: Valid text, which the error message shows.
        separator: Text between the numbers.
    """

    def parse(flag: str, text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(separator))
        except ValueError:
            values = (math.nan,)
        if not all(0 < value < math.inf for value in values):
            raise DataError(f"{flag} {text}: must be numbers greater than 0, such as {example}")
        return values

    return parse


@dataclass(frozen=True)
class ReadOptions:
    """Columns, units, rows and counting convention of the points that are read from a source.

    Attributes:
        columns: Column of each input or output by its letter: N, D, C, L, budget, name, group, weight, or a letter of
            the law; y stands for the output of the law. Other columns are guessed from common names and listed in
            `Points.notes`.
        units: Unit of a column by letter, such as {"N": "billions", "L": "bits"} (analysis/data/units.py).
        drop_bad: Leave out rows with a cell that is not a valid number and list them in `Points.notes`. By default
            such a row is an error.
        where: Expression that selects the rows to keep (analysis/data/filter.py).
        flops: What C counts. For a store: 6nd (default), 6nd-nonembedding, exact or exact-full-attention. For a file:
            6nd computes 6·N·D; None (default) reads the column of C, or computes 6·N·D if there is none.
        params: What N counts: total, or nonembedding (without embedding, head and position tables).
        run_columns: Columns that together name the run of each row in a table of checkpoints; they become
            `Points.groups`. Empty: each row is a run.
    """

    columns: Mapping[str, str] = option(
        {},
        "columns of the source: N, D, C, L, budget, name, group, weight",
        metavar="N=..,D=..",
        parse=parse_pairs("N=params,L=val_loss"),
    )
    units: Mapping[str, str] = option(
        {},
        "units of columns: N=billions, D=millions, C=pfdays or 1e21, L=bits or perplexity",
        metavar="N=..,L=..",
        parse=parse_pairs("N=billions,L=bits"),
    )
    drop_bad: bool = option(False, "leave out rows with bad cells and list them")
    where: str | None = option(None, 'rows to keep, such as "C<1e21 and N>=1e6"', metavar="EXPR")
    flops: str | None = option(None, "what C counts: 6nd, 6nd-nonembedding, exact or exact-full-attention")
    params: str = option("total", "what N counts: total (default) or nonembedding")
    run_columns: tuple[str, ...] = option(
        (),
        "two-step: columns that name the run of each row, if rows are checkpoints",
        metavar="COL,COL",
        parse=parse_names,
        flag="--runs",
    )
