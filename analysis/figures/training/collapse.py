"""Learning curves normalised by their end, and their deviations from the other runs of the sweep (Qiu 2025)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source
from scaling.store.curves.collapse import BINS
from scaling.store.curves.health import RunHealth, SweepHealth

CAPTION = (
    "Learning curves of the runs of a sweep at equal shares of their tokens, coloured by model size. (a) Training "
    "loss, averaged within twentieths of the tokens, less the irreducible loss L0 and divided by its value at the end"
    " (Qiu 2025); for a run that has not ended, by the expected value. Where all sizes have as many tokens per "
    "parameter, the curves of a well-tuned sweep coincide. (b) Difference from the loss that the other finished runs "
    "lead to expect at this size and length. Grey: the median band of one run; a run outside of its own band at two "
    "successive twentieths has left it. Red: runs that left their band or that of the runs of their size, that have "
    "another schedule of the learning rate, or that read the same batches again; the cross is at the end of that "
    "twentieth."
)
SHARES = np.arange(1, BINS + 1) / BINS


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the normalised curves, and the deviations with their band, side by side.

    Args:
        source: A store.
        width: Width in inches.

    Raises:
        DataError: The source has no learning curves, or too few to compare.
    """
    health = max(source.health().values(), key=lambda sweep: len(sweep.runs), default=None)
    drawn = [] if health is None else [run for run in health.runs if np.isfinite(run.normalised).any()]
    if health is None or not drawn:
        raise DataError(f"{source.name}: no run has ended with a learning curve yet, so none can be normalised")
    fig, (curves, deviations) = style.panels(width, 1, 2, height=2.3)
    colors = style.sequential_colors([run.N for run in drawn])
    for run, by_size in sorted(zip(drawn, colors, strict=True), key=lambda pair: pair[0].departure is not None):
        color = by_size if run.departure is None else style.VERMILION
        _draw(curves, "normalised", run, run.normalised, color)
        _draw(deviations, "deviation", run, 100 * run.deviation, color)
    _draw_band(deviations, drawn)
    curves.set(xlabel="Share of the tokens", ylabel=_curve_label(health), yscale="log")
    style.log_axes(curves, x=False)
    deviations.set(xlabel="Share of the tokens", ylabel="Loss against that expected (%)")
    curves.plot([], [], color=style.VERMILION, linewidth=1.2, label="left the band")
    if health.departures:
        curves.legend(loc="upper right")
    return fig


def _curve_label(health: SweepHealth) -> str:
    if not health.irreducible:
        return "Loss / end loss"
    return f"$(L - L_0)\\,/\\,(L_{{end}} - L_0)$, $L_0$ = {health.irreducible:.3g}"


def _draw(axes: Axes, what: str, run: RunHealth, values: np.ndarray, color: object) -> None:
    known = np.isfinite(values)
    left = run.departure is not None
    marks.line(
        axes, f"{what} {run.run_id[:12]}", SHARES[known], values[known], color=color,
        linewidth=1.2 if left else 0.6, alpha=1.0 if left else 0.7, zorder=4 if left else 2,
    )  # fmt: skip
    if run.departure is not None:
        k = min(BINS - 1, max(0, round(run.departure.share * BINS) - 1))
        if known[k]:
            marks.points(
                axes, f"{what} left {run.run_id[:12]}", SHARES[k], values[k], color=style.VERMILION, marker="X", s=30,
                zorder=6,
            )  # fmt: skip


def _draw_band(axes: Axes, runs: list[RunHealth]) -> None:
    limits = np.array([run.limit for run in runs if np.isfinite(run.limit).any()])
    if len(limits):
        known = np.isfinite(limits).any(0)
        half = 100 * np.nanmedian(limits[:, known], 0)
        marks.band(axes, "band of one run", SHARES[known], -half, half, color=style.GREY)
    axes.axhline(0.0, color=style.BLACK, linewidth=0.6, zorder=3)
