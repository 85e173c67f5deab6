"""Options of `analysis paper`: the venue and the laws.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.data.options import parse_names
from analysis.errors import DataError
from scaling.config.options import option


@dataclass(frozen=True)
class Venue:
    """Page of a venue.

    Attributes:
        text: Name of the width of its text in `analysis.figures.options.WIDTHS`.
        column: Name of the width of a column; None for a page of one column.
        text_inches: Width and height of the text in inches.
        separation: Space between columns in inches.
        paper: Paper size, as the package geometry names it.
    """

    text: str
    column: str | None
    text_inches: tuple[float, float]
    separation: float = 0.0
    paper: str = "letterpaper"

    @property
    def widths(self) -> dict[str, str]:
        """Suffix of the files of figures by the name of their width."""
        return {self.text: ""} | ({self.column: "-column"} if self.column else {})


VENUES = {  # widths of text and columns as in the venues' style files and instructions
    "neurips": Venue("text", None, (5.5, 9.0)),
    "icml": Venue("icml", "column", (6.75, 9.0), 0.25),
    "iclr": Venue("text", None, (5.5, 9.0)),
    "nature": Venue("nature", "nature-column", (7.2, 9.7), 0.2, "a4paper"),
}


@dataclass(frozen=True)
class PaperOptions:
    """Venue and laws of a paper. Raises DataError for an unknown venue.

    Attributes:
        venue: Name in VENUES, which determines the widths of figures and the page of the sample document.
        laws: Laws to fit, the main law first; empty fits those of the report.
    """

    venue: str = option("neurips", "page of the sample and widths of figures: neurips (default), icml, iclr or nature")
    laws: tuple[str, ...] = option(
        (),
        "laws to fit, the main law first, or your own FILE.py:FUNCTION (default: the laws of the report)",
        metavar="LAW,..",
        parse=parse_names,
        flag="--law",
    )

    def __post_init__(self) -> None:
        if self.venue not in VENUES:
            raise DataError(f"venue {self.venue!r}: must be one of {', '.join(VENUES)}")

    @property
    def page(self) -> Venue:
        """The page of the venue."""
        return VENUES[self.venue]
