"""Outcomes of problems: published figures beside those of the authors' procedure and of our defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.fitting.result import Fit
from analysis.format import aligned, estimate, json_ready, plural, signed

Estimate = float | tuple[float, float, float]  # a value, or a value with the ends of its interval


@dataclass(frozen=True)
class Comparison:
    """A published figure, the same figure by the authors' procedure here, and that of the default fit.

    Attributes:
        data: The data, as readers know them.
        quantity: What the figure is of.
        authors: The published figure.
        procedure: By the authors' procedure; None where there is none of ours.
        default: By the default fit, with its interval where it has one; None where there is none.
    """

    data: str
    quantity: str
    authors: float
    procedure: Estimate | None = None
    default: Estimate | None = None

    @property
    def procedure_difference(self) -> float | None:
        """Relative difference of the procedure from the published figure; None without a procedure."""
        return _difference(self.procedure, self.authors)

    @property
    def default_difference(self) -> float | None:
        """Relative difference of the default from the published figure; None without a default."""
        return _difference(self.default, self.authors)

    @property
    def inside(self) -> bool | None:
        """Whether the interval of the default contains the published figure; None without an interval."""
        if not isinstance(self.default, tuple):
            return None
        return bool(self.default[1] <= self.authors <= self.default[2])

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison in types of JSON."""
        entry: dict[str, Any] = {"data": self.data, "quantity": self.quantity, "published": self.authors}
        for name, value in (("procedure", self.procedure), ("default", self.default)):
            if value is not None:
                number, *interval = value if isinstance(value, tuple) else (value,)
                entry |= {name: number, f"{name}_difference": _difference(value, self.authors)}
                entry |= {f"{name}_interval": interval} if interval else {}
        return dict(json_ready(entry | ({} if self.inside is None else {"inside": self.inside})))


@dataclass(frozen=True)
class Outcome:
    """The outcome of the problems of a data set.

    Attributes:
        name: Name of the data set.
        comparisons: Its figures.
        fits: Default fits by name.
        seconds: Seconds that the fits took.
    """

    name: str
    comparisons: Sequence[Comparison]
    fits: dict[str, Fit] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome in types of JSON."""
        verdicts = {name: {"points": len(fit.points), "verdict": list(fit.verdict)} for name, fit in self.fits.items()}
        figures = [comparison.to_json() for comparison in self.comparisons]
        return {"name": self.name, "figures": figures, "default_fits": verdicts, "seconds": round(self.seconds, 1)}


def _difference(value: Estimate | None, published: float) -> float | None:
    """Relative difference of a value from the published one."""
    if value is None:
        return None
    return (value[0] if isinstance(value, tuple) else value) / published - 1


def describe_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Returns the figures of all outcomes as a table, and the verdicts of the default fits."""
    head = ("data set", "quantity", "published", "procedure", "difference", "default [95% interval]", "difference")
    rows: list[tuple[str, ...]] = [head]
    for outcome in outcomes:
        for comparison in outcome.comparisons:
            differences = (comparison.procedure_difference, comparison.default_difference)
            procedure, default = (_text(difference) for difference in differences)
            numbers = (f"{comparison.authors:.6g}", _number(comparison.procedure, ".6g"), procedure)
            outside = " outside" if comparison.inside is False else ""
            rows.append(
                (comparison.data, comparison.quantity, *numbers, _number(comparison.default, ".4g") + outside, default)
            )
    lines = [aligned(rows), ""]
    for outcome in outcomes:
        lines += [f"{name}: {'; '.join(fit.verdict)}" for name, fit in outcome.fits.items()]
    count = sum(len(outcome.comparisons) for outcome in outcomes)
    return "\n".join([*lines, f"{plural(count, 'figure')} of {plural(len(outcomes), 'data set')}"])


def _number(value: Estimate | None, spec: str) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return estimate(value[0], value[1:], lambda end: format(end, spec))
    return format(value, spec)


def _text(difference: float | None) -> str:
    """A relative difference in per cent, with the digits that it has."""
    if difference is None or not np.isfinite(difference):
        return ""
    return f"{signed(100 * difference, '.2g')}%"
