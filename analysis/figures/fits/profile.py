"""Profile likelihood of each parameter, with its intervals by profile and by bootstrap."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.uncertainty.profile import Profile

CAPTION = (
    "Profile of each parameter: the increase of the objective, as Student's t, with the parameter fixed at a value and "
    "all others refitted. The {level:.0%} interval (blue bar) is the range below the dotted line; a parameter whose "
    "profile does not reach the line on one side is unbounded there. Red bar: bootstrap interval."
)
MAX_PARAMETERS = 6
LOG_RATIO = 20  # smallest ratio of the ends of a logarithmic axis


def figure(source: Source, width: float = style.TEXT_WIDTH, law: str = "chinchilla") -> Figure:
    """Draws one panel for each of the first six parameters.

    Args:
        source: Points of a store or file.
        width: Width in inches.
        law: A law with parameters to profile.

    Raises:
        FitError: The law cannot be fitted, or has no free parameter.
    """
    fit = source.fit_with_profiles(law)
    names = [name for name in fit.params if name in fit.profiles][:MAX_PARAMETERS]
    if not names:
        raise FitError(f"{fit.law} has no parameter to profile")
    columns = min(3, len(names))
    fig, panels = style.panels(width, -(-len(names) // columns), columns, height=1.6)
    by_bootstrap = source.fit(law).intervals
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, fit, fit.profiles[name], by_bootstrap.get(name))
        axes.set_xlabel(f"${style.math_symbol(name)}$")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes in panels if style.is_narrow(width) else panels[::columns]:
        axes.set_ylabel("Student's $t$")
    return fig


def _panel(axes: Axes, fit: Fit, profile: Profile, by_bootstrap: tuple[float, float] | None) -> None:
    degrees_of_freedom = max(len(fit.points) - len(fit.params) + len(fit.constraints), 1)
    limit = float(stdtrit(degrees_of_freedom, (1 + fit.level) / 2))
    t = np.sqrt(np.maximum(profile.deviance, 0))
    near = np.isfinite(profile.values) & (t < 2.5 * limit)
    x = profile.values[near]
    marks.line(axes, f"profile of {profile.name}", x, t[near], color=style.BLACK)
    marks.points(axes, f"minimum, {profile.name}", fit.params[profile.name], 0.0, color=style.BLACK, zorder=5)
    axes.axhline(limit, color=style.GREY, linewidth=0.8, linestyle=":")
    low, high = _draw_intervals(axes, profile, by_bootstrap, x, limit)
    log = low > 0 and high > LOG_RATIO * low
    margin = 0.04 * (high - low)  # separates the ends from the edge of the panel, which means unbounded
    limits = (low / 1.1, high * 1.1) if log else (low - margin, high + margin)
    axes.set(xlim=limits, ylim=(-0.15 * limit, 1.6 * limit))
    if log:
        style.log_axes(axes, y=False)


def _draw_intervals(
    axes: Axes, profile: Profile, by_bootstrap: tuple[float, float] | None, x: np.ndarray, limit: float
) -> tuple[float, float]:
    """Draws both intervals, with unbounded ends at the edges of the panel, and returns the edges."""
    intervals = [("profile", profile.interval, style.BLUE, 1.0), ("bootstrap", by_bootstrap, style.VERMILION, 1.12)]
    ends = [end for _, interval, _, _ in intervals for end in interval or () if np.isfinite(end)]
    low, high = min([float(x.min()), *ends]), max([float(x.max()), *ends])
    for method, interval, color, height in intervals:
        if interval is None:
            continue
        start, end = np.clip(interval, low, high)
        series = f"{profile.name}, interval by {method}"
        marks.bars(axes, series, [height * limit], [start], [end], horizontal=True, color=color, linewidth=2.0)
    return low, high
