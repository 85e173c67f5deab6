"""Loss against learning rate for each model size and parametrisation (Yang 2022, figure 1).

The learning rate transfers if narrow and wide models have the same optimal rate.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source
from scaling.store.record import Record

PARAMETRIZATIONS = ("standard", "mup", "completep")
PARAMETRIZATION_NAMES = {"standard": "standard", "mup": "muP", "completep": "CompleteP"}
MIN_RATES = 3  # smallest number of learning rates of a curve
# Fields of the model that may differ within a sweep of learning rates.
VARIED = ("width", "layers", "heads", "kv_heads", "mlp_width", "parametrization", "base_width", "base_depth",
          "base_head")  # fmt: skip
CAPTION = (
    "Held-out loss against the peak learning rate, one line per model size, averaged over seeds. Diamonds: the best "
    "rate, from a parabola in ln rate through the lowest point and its neighbours; hollow if the lowest point is at "
    "an end of the grid. Crosses at the top: runs that diverged. If diamonds are vertically aligned, small and large "
    "models have the same best rate."
)
Size = tuple[int, int]  # width, layers


@dataclass(frozen=True)
class RateCurve:
    """Loss against learning rate for one model size and parametrisation.

    Attributes:
        parametrization: Name of the parametrisation.
        width: Width of the model.
        layers: Layers of the model.
        rates: Peak learning rates in ascending order (r,).
        losses: Held-out losses, averaged over seeds (r,); NaN if a run diverged.
    """

    parametrization: str
    width: int
    layers: int
    rates: np.ndarray
    losses: np.ndarray

    @property
    def size(self) -> Size:
        """Width and layers."""
        return self.width, self.layers

    @property
    def inside(self) -> bool:
        """Whether the lowest loss has finite neighbours on both sides."""
        i = int(np.nanargmin(self.losses))
        return 0 < i < len(self.rates) - 1 and bool(np.isfinite(self.losses[i - 1 : i + 2]).all())

    @property
    def best(self) -> tuple[float, float]:
        """Rate and loss at the vertex of the parabola through the lowest three points, or at an end of the grid."""
        i = int(np.nanargmin(self.losses))
        if not self.inside:
            return float(self.rates[i]), float(self.losses[i])
        x, y = np.log(self.rates[i - 1 : i + 2]), self.losses[i - 1 : i + 2]
        a, b, c = np.polyfit(x - x[1], y, 2)
        return float(np.exp(x[1] - b / (2 * a))), float(c - b**2 / (4 * a))


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per parametrisation.

    Args:
        source: A store with one sweep of learning rates.
        width: Width in inches.

    Raises:
        DataError: No model size was trained at several rates, or there are several sweeps.
    """
    curves = rate_curves(source)
    names = sorted({curve.parametrization for curve in curves}, key=PARAMETRIZATIONS.index)
    fig, panels = style.panels(width, 1, len(names), height=2.5)
    sizes = sorted({curve.size for curve in curves})
    colors = dict(zip(sizes, style.sequential_colors(list(range(len(sizes)))), strict=True))
    low, high = _loss_limits(curves)
    for axes, name in zip(panels, names, strict=True):
        axes.set(ylim=(low, high), xlim=style.log_limits(*(c.rates for c in curves)), xlabel="Peak learning rate")
        panel_curves = [curve for curve in curves if curve.parametrization == name]
        for curve in panel_curves:
            _draw_curve(axes, curve, _size_label(curve, sizes), colors[curve.size], high)
        axes.set_title(_title(panel_curves), fontsize=8.5, pad=4)
        style.log_axes(axes, y=False)
    for axes in panels if style.is_narrow(width) else panels[:1]:
        axes.set_ylabel(style.L_LABEL)
    style.legend_below(fig, panels[0], min(len(sizes), 4))
    return fig


def rate_curves(source: Source) -> list[RateCurve]:
    """Returns the curves of the sweep of learning rates in a store. Raises DataError for no or several sweeps."""
    sweeps: dict[Any, dict[tuple[str, int, int], dict[float, list[float]]]] = defaultdict(dict)
    for record in source.records:
        if record.status not in ("done", "diverged"):
            continue
        model = record.config.model
        losses = sweeps[_sweep_key(record)].setdefault((model.parametrization, model.width, model.layers), {})
        loss = record.final["loss"] if record.status == "done" else np.nan
        losses.setdefault(record.config.optimizer.lr, []).append(loss)
    curves_by_sweep = [
        curves
        for by_size in sweeps.values()
        if (curves := [_curve(key, losses) for key, losses in sorted(by_size.items()) if _is_curve(losses)])
    ]
    if not curves_by_sweep:
        raise DataError(
            f"{source.name}: no model was trained at {MIN_RATES} or more learning rates: launch the sweep "
            "transfer-check first"
        )
    if len(curves_by_sweep) > 1:
        raise DataError(
            f"{source.name}: contains {len(curves_by_sweep)} sweeps of learning rates, which differ in more than rate, "
            "size and seed: give a store with one sweep"
        )
    return curves_by_sweep[0]


def _is_curve(losses: dict[float, list[float]]) -> bool:
    return len(losses) >= MIN_RATES and any(np.isfinite(np.mean(values)) for values in losses.values())


def _curve(key: tuple[str, int, int], losses: dict[float, list[float]]) -> RateCurve:
    rates = np.array(sorted(losses))
    return RateCurve(*key, rates, np.array([np.mean(losses[rate]) for rate in rates]))


def _sweep_key(record: Record) -> Any:
    """Fields that all runs of one sweep share: all but rate, seed, size and parametrisation."""
    config = record.config
    model = tuple(
        getattr(config.model, field.name) for field in dataclasses.fields(config.model) if field.name not in VARIED
    )
    optimizer = dataclasses.replace(config.optimizer, lr=1.0)
    return (model, optimizer, config.data, config.batch, config.steps, config.schedule, config.precision)


def _draw_curve(axes: Axes, curve: RateCurve, size: str, color: Any, top: float) -> None:
    name = f"{PARAMETRIZATION_NAMES[curve.parametrization]}, {size}"
    finite = np.isfinite(curve.losses)
    rates, losses = curve.rates[finite], curve.losses[finite]
    marks.line(axes, name, rates, losses, color=color, label=size, marker="o", markersize=2.4)
    if not finite.all():
        diverged = curve.rates[~finite]
        marks.points(axes, f"diverged, {name}", diverged, np.full(len(diverged), top), color=color, marker="X", s=20)
    rate, loss = curve.best
    marks.points(axes, f"best rate, {name}", rate, loss, filled=[curve.inside], color=color, marker="D", s=26, zorder=5)


def _size_label(curve: RateCurve, sizes: list[Size]) -> str:
    """The width, the number of layers, or both, as they differ between sizes."""
    widths, depths = {width for width, _ in sizes}, {layers for _, layers in sizes}
    parts = [f"width {curve.width}"] if len(widths) > 1 or len(depths) == 1 else []
    return ", ".join(parts + ([f"{curve.layers} layers"] if len(depths) > 1 else []))


def _title(curves: list[RateCurve]) -> str:
    """The parametrisation, and the ratio of the best rate of the largest size to that of the smallest."""
    first, last = curves[0], curves[-1]
    name = PARAMETRIZATION_NAMES[first.parametrization]
    ratio = last.best[0] / first.best[0]
    return name if first is last else rf"{name}: best rate $\times$ {ratio:.2g}"


def _loss_limits(curves: list[RateCurve]) -> tuple[float, float]:
    """Limits from the lowest loss to the median of the highest losses of the curves, without divergent ends."""
    lows = [float(np.nanmin(curve.losses)) for curve in curves]
    highs = [float(np.nanmax(curve.losses)) for curve in curves]
    low, high = min(lows), max(float(np.median(highs)), max(lows) + 0.1 * (max(lows) - min(lows)))
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
