"""Fits all laws of a report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.errors import FitError
from analysis.figures.source import Source
from analysis.fitting.result import Fit

T = TypeVar("T")

APPROACHES = ("chinchilla-1", "chinchilla-2", "chinchilla")
POWER_LAWS = ("kaplan-c", "kaplan-d", "kaplan-n", "power-c", "power-d", "power-n")
LAWS = ("chinchilla", "chinchilla-2", "chinchilla-1", *POWER_LAWS)


@dataclass(frozen=True)
class Findings:
    """Fits of a report.

    Attributes:
        source: Source of the report.
        fits: Fits by law.
        failures: Reason of each failed fit, by law.
    """

    source: Source
    fits: dict[str, Fit] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def approaches(self) -> dict[str, Fit]:
        """The successful fits of Hoffmann's three approaches."""
        return {name: self.fits[name] for name in APPROACHES if name in self.fits}


def fit_laws(source: Source, laws: Sequence[str] = LAWS) -> Findings:
    """Fits laws and records the reason of each failure.

    Args:
        source: Source of the report.
        laws: Names of the laws; those of the report by default.
    """
    findings = Findings(source)
    for law in with_progress(laws, "fits", len(laws)):
        try:
            findings.fits[law] = source.fit(law)
        except FitError as error:
            findings.failures[law] = str(error)
    return findings


def with_progress(items: Iterable[T], title: str, total: int) -> Iterable[T]:
    """Iterates over items with a progress bar on standard error, if that is a terminal.

    Args:
        items: The items.
        title: Title of the bar.
        total: Number of items.
    """
    from rich.console import Console  # here, because only reports need it
    from rich.progress import track

    return track(items, title, total, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
