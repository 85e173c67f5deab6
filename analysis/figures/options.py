"""Options of figures, used by `save` and as flags of the figure command.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.data.options import ReadOptions, parse_pairs
from analysis.errors import DataError
from analysis.evals.options import EmergenceOptions
from analysis.fitting.options import FitOptions
from scaling.config.options import format_options, option

SCORES = ("x", "score", "continuous", "chance", "items", "tasks", "all_runs", "all_steps")  # fields of EmergenceOptions
WIDTHS = {  # inches: text of NeurIPS and ICLR, column and text of ICML (style files), text and column of Nature
    "text": 5.5,
    "column": 3.25,
    "icml": 6.75,
    "nature": 7.2,
    "nature-column": 3.5,
}


@dataclass(frozen=True)
class FigureOptions:
    """Law, width and settings of a figure. Raises DataError for an unknown width.

    Attributes:
        law: Law to show, for figures of one law; None shows chinchilla.
        width: Name in WIDTHS: "text" (5.5 in), "column" (3.25 in, with panels stacked), or that of a venue.
        settings: Values of keyword-only arguments of a figure of your own, as text.
    """

    law: str | None = option(None, "law to show, for the figures law, profile, contours and parity (chinchilla)")
    width: str = option(
        "text",
        "width of the figure: text (5.5 in, default), column (3.25 in), icml (6.75 in), nature (7.2 in) or "
        "nature-column (3.5 in)",
    )

    settings: Mapping[str, str] = option(
        {},
        "keyword arguments of your own figure",
        metavar="NAME=VALUE,..",
        parse=parse_pairs("bins=20,log=true"),
        flag="--set",
    )

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise DataError(f"width {self.width!r}: must be one of {', '.join(WIDTHS)}")

    @property
    def inches(self) -> float:
        """Width in inches."""
        return WIDTHS[self.width]

    def arguments(self) -> list[str]:
        """Returns the command-line flags of these options."""
        return format_options(self)


@dataclass(frozen=True)
class SourceOptions:
    """How the source of a figure is read, and what is computed from it.

    Attributes:
        fits: Options of all fits; their level and seed are those of every interval.
        reading: Columns, units, rows and counting convention.
        scores: Scale, tasks and metrics of figures of scores; the fields in SCORES.
    """

    fits: FitOptions = field(default_factory=FitOptions)
    reading: ReadOptions = field(default_factory=ReadOptions)
    scores: EmergenceOptions = field(default_factory=EmergenceOptions)
