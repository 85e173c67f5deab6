"""How well each parameter is bounded: its profile, and beside it what the bootstrap says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.source import Source

if TYPE_CHECKING:
    from analysis.fitting.result import Fit
    from analysis.uncertainty.profile import Profile

CAPTION = (
    "Each parameter held at value after value, all others fitted again: how much worse the fit gets, as Student's t. "
    "Below the dotted line lies the {level:.0%} interval (blue bar); a curve that stays below it on one side leaves "
    "the parameter open there. Red bar: the interval by bootstrap."
)
MOST = 6  # parameters shown


def figure(source: Source, width: float = style.TEXT, law: str = "chinchilla") -> Figure:
    """A panel for each of the first parameters."""
    fit = source.profiled(law)
    names = [name for name in fit.params if name in fit.profiles][:MOST]
    if not names:
        raise FitError(f"{fit.law} has no parameter to profile")
    columns = min(3, len(names))
    fig, axes = style.panels(width, -(-len(names) // columns), columns, height=1.6)
    drawn = source.fit(law).intervals
    for panel, name in zip(axes, names, strict=False):
        _panel(panel, fit, fit.profiles[name], drawn.get(name))
        panel.set_xlabel(f"${style.symbol(name)}$")
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    for panel in axes[::columns] if width > 4.5 else axes:
        panel.set_ylabel("Student's $t$")
    return fig


def _panel(axes: Axes, fit: Fit, of: Profile, drawn: tuple[float, float] | None) -> None:
    free = max(len(fit.points) - len(fit.params) + len(fit.held), 1)
    limit = float(student.ppf((1 + fit.level) / 2, free))
    t = np.sqrt(np.maximum(of.deviance, 0))
    near = np.isfinite(of.values) & (t < 2.5 * limit)
    x = of.values[near]
    marks.line(axes, f"profile of {of.name}", x, t[near], color=style.BLACK)
    marks.points(axes, f"least objective, {of.name}", fit.params[of.name], 0.0, color=style.BLACK, zorder=5)
    axes.axhline(limit, color=style.GREY, linewidth=0.8, linestyle=":")
    bars = {"profile": (of.interval, style.BLUE, 1.0), "bootstrap": (drawn, style.VERMILION, 1.12)}
    known = {said: one for said, one in bars.items() if one[0] is not None}
    ends = [end for spread, _, _ in known.values() for end in spread or () if np.isfinite(end)]
    low, high = min([float(x.min()), *ends]), max([float(x.max()), *ends])
    for said, (spread, color, lift) in known.items():
        left, right = np.clip(spread or (), low, high)  # an open end goes to the edge of the panel
        marks.bars(axes, f"{of.name}, interval by {said}", [lift * limit], [left], [right], across=True,
                   color=color, linewidth=2.0)  # fmt: skip
    log = low > 0 and high > 20 * low
    room = 0.04 * (high - low)  # or an end at the edge would look open
    axes.set(xlim=(low / 1.1, high * 1.1) if log else (low - room, high + room), ylim=(-0.15 * limit, 1.6 * limit))
    if log:
        style.log_axes(axes, y=False)
