"""Loss against model size at each budget, the parabolas and their minima, and what those say (Hoffmann 2022, figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.source import Source

if TYPE_CHECKING:
    pass

CAPTION = (
    "IsoFLOP profiles (approach 2). (a) Loss against model size at each budget of compute, the parabola through each in "
    "ln N, and its minimum with a {level:.0%} interval. Hollow, dashed: a minimum at the edge of its grid or a parabola "
    "that has none; the optimum there is a guess. (b, c) The minima against compute, and the power laws through the "
    "sound ones with their {level:.0%} bands."
)
GRID = 80


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Three panels: the profiles, N*(C) and D*(C)."""
    found = source.isoflop()
    fig, (profiles, sizes, data) = style.panels(width, 1, 3, height=2.35, ratios=(1.35, 1, 1))
    colors = style.ordered([p.budget for p in found.budgets])
    for parabola, color in zip(found.budgets, colors, strict=True):
        _profile(profiles, source, parabola, color)
    profiles.set(xlabel=style.N_LABEL, ylabel=style.L_LABEL)
    profiles.set(xlim=style.limits(source.points.N, pad=0.08), ylim=style.limits(source.points.L, pad=0.1))
    style.log_axes(profiles)
    for axes, letter, label in ((sizes, "N", style.N_LABEL), (data, "D", style.D_LABEL)):
        _minima(axes, source, found.budgets, colors, letter)
        axes.set(
            xlabel=style.C_LABEL, ylabel=label.replace("Model size", "Optimal").replace("Training data", "Optimal")
        )
        style.log_axes(axes)
    columns = min(len(colors), 6) if width > 4.5 else 3
    fig.legend(*profiles.get_legend_handles_labels(), loc="outside lower center", ncols=columns, title=style.C_LABEL,
               title_fontsize=7.5)  # fmt: skip
    return fig
