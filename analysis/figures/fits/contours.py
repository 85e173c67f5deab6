"""The fitted surface L(N, D): contours over compute and model size, and slices through it (Hoffmann 2022, figure 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.source import Source

if TYPE_CHECKING:
    from analysis.fitting.result import Fit

CAPTION = (
    "The parametric law (approach 3) as a surface. (a) Lines of equal loss over compute and model size; the runs it "
    "was fitted to; the compute-optimal path N*(C) with its {level:.0%} interval, carried on to a hundred times the "
    "largest budget. Right of the dotted line is extrapolation. (b) Slices at fixed compute, with the runs near each; "
    "the crosses are the law's minima."
)
LEVELS, GRID, SLICES = 14, 120, 6


def figure(source: Source, width: float = style.TEXT, law: str = "chinchilla") -> Figure:
    """Two panels: the surface over (C, N) with the optimal path, and isoFLOP slices of it."""
    fit = source.fit(law)
    if fit.form is None or fit.form.inputs != ("N", "D"):
        raise FitError(f"{fit.law} is no law of N and D: contours take one, such as chinchilla")
    fig, (plane, slices) = style.panels(width, 1, 2, height=2.6, ratios=(1.15, 1))
    _plane(plane, fit)
    _slices(slices, fit)
    style.legend_below(fig, slices, 6 if width > 4.5 else 3, f"(b): {style.C_LABEL}")
    return fig


def _plane(axes: Axes, fit: Fit) -> None:
    points = fit.points
    largest = float(points.C.max())
    c_low = style.limits(points.C)[0]
    C = np.geomspace(c_low, 130 * largest, GRID)
    path = _path(fit, C)
    n_low, n_high = style.limits(points.N, [path["N"][-1]] if path else [])
    N = np.geomspace(n_low, n_high, GRID)
    c_CN, n_CN = np.meshgrid(C, N)
    L = np.asarray(fit.predict(N=n_CN, D=c_CN / (_per_token(fit) * n_CN)), float)

    # Levels even in the law's best loss along the path; what lies far off the path would swallow them all.
    best = L.min(axis=0)
    levels = np.geomspace(best[-1], float(points.L.max()) * 1.05, LEVELS)
    colors = style.ordered(-levels)
    drawn = axes.contour(C, N, L, levels=levels, colors=colors, linewidths=0.7)
    drawn.set_gid("loss (nats/token)")
    marks.points(axes, "runs", points.C, points.N, color=style.BLACK, s=9)
    if path:
        marks.band(axes, f"optimal path, {fit.level:.0%} interval", C, path["low"], path["high"], color=style.VERMILION)
        marks.line(axes, "optimal path", C, path["N"], color=style.VERMILION, zorder=2.5, **_doubt(fit))
        at = int(0.68 * GRID)
        _write(axes, C[at], path["N"][at], "$N^{\\ast}(C)$", offset=(16, -15), color=style.VERMILION, fontsize=8)
    axes.axvline(largest, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.set(xlim=(c_low, C[-1]), ylim=(n_low, n_high), xlabel=style.C_LABEL, ylabel=style.N_LABEL)
    axes.grid(False)
    style.log_axes(axes)
    _label_levels(axes, C, N, L, levels)


def _label_levels(axes: Axes, C: np.ndarray, N: np.ndarray, L: np.ndarray, levels: np.ndarray) -> None:
    """Every other contour's loss, written near the upper edge of the panel where the contour crosses it."""
    row = int(0.93 * len(N))
    last = 0.0
    for level in levels[::-1]:
        crossing = np.flatnonzero(np.diff(np.sign(L[row] - level)))
        if len(crossing) and 0.04 < (at := crossing[0] / len(C)) < 0.9 and at - last > 0.11:
            _write(axes, C[crossing[0]], N[row], f"{level:.2f}", fontsize=6.5, color=style.BLACK)
            last = at


def _write(axes: Axes, x: float, y: float, text: str, offset: tuple[float, float] = (0, 0), **how: Any) -> None:
    """Text on a patch of paper, so that lines do not run through it; `offset` in points."""
    paper = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
    axes.annotate(
        text, (x, y), offset, textcoords="offset points", ha="center", va="center", bbox=paper, zorder=6, **how
    )  # fmt: skip


def _per_token(fit: Fit) -> float:
    """C / (N·D): 6 where compute is counted so."""
    points = fit.points
    return float(np.median(points.C / (points.N * points.D)))


def _path(fit: Fit, C: np.ndarray) -> dict[str, np.ndarray]:
    """N*(C) and its interval; empty where the law has no optimum."""
    if fit.optimum is None:
        return {}
    at = [fit.optimum.at(float(c)) for c in C]
    return {
        "N": np.array([a["N"] for a in at]),
        "low": np.array([a["intervals"]["N"][0] for a in at]),
        "high": np.array([a["intervals"]["N"][1] for a in at]),
    }


def _doubt(fit: Fit) -> dict[str, str]:
    """A law with something to doubt is drawn with dashes."""
    return {} if tuple(fit.verdict) == ("converged",) else {"linestyle": "--"}


def _slices(axes: Axes, fit: Fit) -> None:
    points = fit.points
    budgets = _budgets(fit)
    n_low, n_high = style.limits(points.N, pad=0.12)
    N = np.geomspace(n_low, n_high, GRID)
    for C, color in zip(budgets, style.ordered(budgets), strict=True):
        near = np.abs(np.log(points.C / C)) < 0.25
        name = f"C = {C:.2g} FLOPs"
        marks.line(
            axes,
            f"law, {name}",
            N,
            fit.predict(N=N, D=C / (_per_token(fit) * N)),
            color=color,
            linewidth=0.9,
            label=f"${style.power(C)}$",
        )
        marks.points(axes, f"runs, {name}", points.N[near], points.L[near], color=color, s=11)
        if fit.optimum is not None:
            best = fit.optimum.at(float(C))
            marks.points(axes, f"minimum, {name}", best["N"], best["L"], color=color, marker="P", s=30, zorder=4)
    axes.set(xlim=(n_low, n_high), ylim=_loss_limits(points.L), xlabel=style.N_LABEL, ylabel=style.L_LABEL)
    style.log_axes(axes)


def _loss_limits(L: np.ndarray) -> tuple[float, float]:
    return style.limits(L, pad=0.1)


def _budgets(fit: Fit) -> np.ndarray:
    """The sweep's budgets, or some values of compute spread over the points; at most `SLICES`, the ends kept."""
    points = fit.points
    if points.budgets is not None:
        distinct = np.unique([np.median(points.C[points.budgets == b]) for b in np.unique(points.budgets)])
    else:
        distinct = np.geomspace(points.C.min(), points.C.max(), SLICES)
    keep = np.unique(np.linspace(0, len(distinct) - 1, SLICES).round().astype(int))
    return distinct[keep]
