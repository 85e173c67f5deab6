"""Options of figures, used by `save` and as flags of the figure command.

Imports only the standard library, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import DataError
from scaling.config.options import format_options, option

WIDTHS = {"text": 5.5, "column": 3.25}  # inches, of the NeurIPS and ICML style files


@dataclass(frozen=True)
class FigureOptions:
    """Law and width of a figure. Raises DataError for an unknown width.

    Attributes:
        law: Law to show, for figures of one law; None shows chinchilla.
        width: "text" (5.5 in) or "column" (3.25 in, with panels stacked).
    """

    law: str | None = option(None, "law to show, for the figures law, profile, contours and parity (chinchilla)")
    width: str = option("text", "width of the figure: text (5.5 in, default) or column (3.25 in)")

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
