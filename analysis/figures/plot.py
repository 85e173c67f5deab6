"""analysis.figures.plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.fitting.result import Fit


def figure(fit: Fit, name: str, width: str) -> Figure:
    """A figure of analysis/figures that shows this fit."""
    from analysis.figures import save
    from analysis.figures.source import Source

    options: dict[str, Any] = {"level": fit.level}
    return save.draw(name, Source(fit.points.source, fit.points, options=options, kept={fit.law: fit}), width, fit.law)
