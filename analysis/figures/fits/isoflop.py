"""Loss against model size at each budget, the parabolas, their minima and what those say (Hoffmann 2022, figure 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.fitting.isoflop import IsoFlop, Parabola

CAPTION = (
    "IsoFLOP profiles (approach 2). (a) Loss against model size at each budget of compute, the parabola through each "
    "in ln N, and its minimum. (b, c) The minima against compute with {level:.0%} intervals, and the power laws "
    "through the sound ones with {level:.0%} bands. Dashed and hollow: a parabola whose minimum lies beyond its runs, "
    "or that has none; it is left out of the power laws."
)
GRID = 80


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Three panels: the profiles, N*(C) and D*(C)."""
    found = source.isoflop()
    fig, (profiles, sizes, data) = style.panels(width, 1, 3, height=2.3, ratios=(1.3, 1, 1))
    colors = style.ordered([p.budget for p in found.budgets])
    for parabola, color in zip(found.budgets, colors, strict=True):
        _profile(profiles, parabola, color)
    shown = [p.points for p in found.budgets]
    profiles.set(xlim=style.limits(*(p.N for p in shown), pad=0.08), xlabel=style.N_LABEL)
    profiles.set(ylim=style.limits(*(p.L for p in shown), pad=0.1), ylabel=style.L_LABEL)
    style.log_axes(profiles)
    _optima(sizes, found, colors, "N")
    _optima(data, found, colors, "D")
    style.legend_below(fig, profiles, min(len(colors), 6) if width > 4.5 else 3, style.C_LABEL)
    return fig


def _profile(axes: Axes, parabola: Parabola, color: Any) -> None:
    points, name = parabola.points, f"C = {parabola.budget:.3g} FLOPs"
    N = np.geomspace(0.8 * points.N.min(), 1.25 * points.N.max(), GRID)
    dashes = {} if parabola.sound else {"linestyle": "--"}
    label = f"${style.power(parabola.budget)}$"
    marks.line(axes, f"parabola, {name}", N, parabola.predict(N), color=color, linewidth=0.9, label=label, **dashes)
    marks.points(axes, f"runs, {name}", points.N, points.L, sound=[parabola.sound] * len(points), color=color)
    if parabola.N_opt is not None and parabola.L_opt is not None and parabola.inside:
        at = (parabola.N_opt, parabola.L_opt)
        marks.points(axes, f"minimum, {name}", *at, color=style.VERMILION, marker="D", s=17, zorder=4)


def _optima(axes: Axes, found: IsoFlop, colors: list[Any], letter: str) -> None:
    """The minima, their intervals, and the power law through the sound ones."""
    C = np.geomspace(*style.limits([p.C for p in found.budgets], pad=0.12), GRID)
    seen: list[Any] = []
    if found.params is not None:
        line, low, high = found.path(C, of=letter)
        band = f"power law, {found.level:.0%} interval"
        marks.band(axes, band, C, low, high, color=style.VERMILION, alpha=0.18)
        marks.line(axes, "power law", C, line, color=style.VERMILION, **_dashes(found))
        axes.text(0.04, 0.96, _exponent(found, letter), transform=axes.transAxes, va="top", fontsize=7.5)
        seen.append(line)
    for parabola, color in zip(found.budgets, colors, strict=True):
        best, interval = parabola.N_opt if letter == "N" else parabola.D_opt, _interval(parabola, letter)
        if best is None or not 0.1 < best / _middle(parabola, letter) < 10:
            continue  # a minimum ten times off its runs is no measurement, and would set the scale
        seen.append(best)
        name = f"C = {parabola.budget:.3g} FLOPs"
        if interval is not None:
            marks.bars(axes, f"{found.level:.0%} interval, {name}", [parabola.C], *interval, color=color)
            seen += [np.clip(interval, best / 10, best * 10)] if parabola.sound else []
        marks.points(axes, f"optimum, {name}", parabola.C, best, sound=parabola.sound, color=color, marker="D", s=17)
    axes.set(xlim=(C[0], C[-1]), xlabel=style.C_LABEL)
    axes.set_ylabel(r"Optimal $N^{\ast}$ (parameters)" if letter == "N" else r"Optimal $D^{\ast}$ (tokens)")
    if seen:
        low_y, high_y = style.limits(*(np.atleast_1d(s) for s in seen), pad=0.08)
        axes.set_ylim(low_y, high_y * (high_y / low_y) ** 0.15)  # room for the exponent
    style.log_axes(axes)


def _middle(parabola: Parabola, letter: str) -> float:
    return float(np.exp(np.mean(np.log(getattr(parabola.points, letter)))))


def _interval(parabola: Parabola, letter: str) -> tuple[float, float] | None:
    """Of N*, or of the D* that goes with it."""
    if parabola.interval is None or letter == "N":
        return parabola.interval
    low, high = parabola.interval
    return float(parabola.tokens(high)), float(parabola.tokens(low))


def _dashes(found: IsoFlop) -> dict[str, str]:
    return {} if found.verdict == ("converged",) else {"linestyle": "--"}


def _exponent(found: IsoFlop, letter: str) -> str:
    assert found.params is not None
    values = found.params["a" if letter == "N" else "b"]
    low, high = np.nanquantile(values[1:], [(1 - found.level) / 2, (1 + found.level) / 2])
    return rf"${letter}^{{\ast}} \propto C^{{{values[0]:.2f}}}$" + f"\n[{low:.2f}, {high:.2f}]"
