"""analysis.report.findings.findings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.figures.source import Source
    from analysis.fitting.result import Fit

APPROACHES = ("chinchilla-1", "chinchilla-2", "chinchilla")

LAWS = (
    "chinchilla",
    "chinchilla-2",
    "chinchilla-1",
    "kaplan-c",
    "kaplan-d",
    "kaplan-n",
    "power-c",
    "power-d",
    "power-n",
)


@dataclass(frozen=True)
class Findings:
    """Fits that could be made, and one line of why for those that could not."""

    source: Source
    fits: dict[str, Fit] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def approaches(self) -> dict[str, Fit]:
        return {name: self.fits[name] for name in APPROACHES if name in self.fits}


def findings(source: Source) -> Findings:
    """Every law of the report fitted, or the reason why not."""
    from analysis.errors import FitError

    found = Findings(source)
    for law in _tracked(list(LAWS), "fits"):
        try:
            found.fits[law] = source.fit(law)
        except FitError as error:
            found.failed[law] = str(error)
    return found


def _tracked(names: list[str], what: str) -> Any:
    """The names in turn, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    return track(names, what, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
