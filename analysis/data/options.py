"""Options of reading a source, used by `load` and as flags of every command that reads points.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
        wide: What the names of the value columns of a wide table are, such as "N" for columns 70M and 160M, and after
            a colon what their cells are; or the form of these names, such as "loss_{N}_seed{seed}"
            (analysis/data/sources/wide.py).
        run_names: Form of the names of runs that contain values, such as "n{N}-d{D}-*"; each field becomes a column.
        run_columns: Columns that together name the run of each row in a table of checkpoints (`Points.runs`). Empty:
            runs are found by repeated names or ids (analysis/data/rows/checkpoints.py).
        checkpoints: Rows of a run that are fitted: "final", "all", or "auto" (the final row where it is what the law
            describes and the final rows determine the law, else all).
        schedule: File of a table with the learning rate at all steps of each curve, for laws of schedules whose losses
            are of few steps (analysis/data/schedule_file.py).
        replicates: Rows of one set of inputs: "best", "mean", "seeds", "all", or "auto" (the hyper-parameters of lowest
            loss, the mean over seeds; analysis/data/rows/replicates.py).
    """

    columns: Mapping[str, str] = option(
        {},
        "columns of the source: N, D, C, L, budget, epochs, U (unique tokens), name, group, weight, error",
        metavar="N=..,D=..",
        parse=parse_pairs("N=params,L=val_loss"),
    )
    units: Mapping[str, str] = option(
        {},
        "units of columns: N=billions, D=millions, C=pfdays or 1e21, L=bits/byte, bits or perplexity",
        metavar="N=..,L=..",
        parse=parse_pairs("N=billions,L=bits"),
    )
    drop_bad: bool = option(False, "leave out rows with bad cells and list them")
    where: str | None = option(None, 'rows to keep, such as "C<1e21 and N>=1e6"', metavar="EXPR")
    flops: str | None = option(None, "what C counts: 6nd, 6nd-nonembedding, exact or exact-full-attention")
    params: str = option("total", "what N counts: total (default) or nonembedding")
    wide: str | None = option(
        None,
        "the table has a column per value of N, D, C, budget or another quantity, with losses (or NAME) in the cells",
        metavar="N[:NAME]",
    )
    run_names: str | None = option(
        None, "values in the names of runs: n{N}-d{D}-* reads N and D from n70M-d1.4B-seed0", metavar="FORM"
    )
    run_columns: tuple[str, ...] = option(
        (),
        "columns that together name the run of each row, if rows are checkpoints (default: repeated run names)",
        metavar="COL,COL",
        parse=parse_names,
        flag="--runs",
    )
    checkpoints: str = option(
        "auto",
        "rows of a run that are fitted: final, all or auto (default: final where the law describes final losses)",
    )
    replicates: str = option(
        "auto",
        "runs with the same inputs: best, mean, seeds (best, each seed a point), all, or auto (default: the "
        "hyper-parameters of lowest loss, averaged over seeds)",
    )

    schedule: str | None = option(
        None,
        "table of learning rates by step (and curve) for laws of schedules, where the losses are of few steps",
        metavar="FILE",
    )

    def with_seeds(self) -> ReadOptions:
        """Returns the options with each seed as a point, for the noise between seeds, unless they say otherwise."""
        return replace(self, replicates="seeds") if self.replicates == "auto" else self
