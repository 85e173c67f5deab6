"""Loss against learning rate, a line a width, a panel a parametrisation: whether the best rate of a narrow model is a
wide one's (Yang 2022, figure 1)."""

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

ORDER = ("standard", "mup", "completep")
SAID = {"standard": "standard", "mup": "muP", "completep": "CompleteP"}
LEAST = 3  # rates that make a curve
SHAPE = ("width", "layers")
CAPTION = (
    "Held-out loss against the peak learning rate, a line for each size of the model, seeds averaged. Diamonds: the "
    "best rate, by a parabola in ln rate through the lowest point and its neighbours; hollow where the lowest point "
    "is the last of the grid. Crosses at the top: runs that diverged. Where the diamonds stand above one another, the "
    "rate found on the small model is the large one's."
)


@dataclass(frozen=True)
class Bowl:
    """Losses of one size under one parametrisation, in order of the rate; NaN where all its runs diverged."""

    parametrization: str
    width: int
    layers: int
    rates: np.ndarray
    losses: np.ndarray

    @property
    def inside(self) -> bool:
        """Whether the lowest loss has neighbours on both sides."""
        at = int(np.nanargmin(self.losses))
        return 0 < at < len(self.rates) - 1 and bool(np.isfinite(self.losses[at - 1 : at + 2]).all())

    @property
    def best(self) -> tuple[float, float]:
        """Rate and loss at the vertex of the parabola through the lowest three; the lowest point where it is an end."""
        at = int(np.nanargmin(self.losses))
        if not self.inside:
            return float(self.rates[at]), float(self.losses[at])
        x, y = np.log(self.rates[at - 1 : at + 2]), self.losses[at - 1 : at + 2]
        a, b, c = np.polyfit(x - x[1], y, 2)
        return float(np.exp(x[1] - b / (2 * a))), float(c - b**2 / (4 * a))


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """One panel a parametrisation; DataError where no size was run at several rates."""
    found = bowls(source)
    names = sorted({b.parametrization for b in found}, key=ORDER.index)
    fig, panels = style.panels(width, 1, len(names), height=2.5)
    sizes = sorted({(b.width, b.layers) for b in found})
    colors = dict(zip(sizes, style.ordered(list(range(len(sizes)))), strict=True))
    low, high = _limits(found)
    for axes, name in zip(panels, names, strict=True):
        axes.set(ylim=(low, high), xlim=style.limits(*(b.rates for b in found)), xlabel="Peak learning rate")
        of = [b for b in found if b.parametrization == name]
        for bowl in of:
            _bowl(axes, bowl, _size(bowl, sizes), colors[bowl.width, bowl.layers], high)
        axes.set_title(_title(of), fontsize=8.5, pad=4)
        style.log_axes(axes, y=False)
    for axes in panels if width < 4.5 else panels[:1]:
        axes.set_ylabel(style.L_LABEL)
    style.legend_below(fig, panels[0], min(len(sizes), 4))
    return fig


def bowls(source: Source) -> list[Bowl]:
    """The curves of the one sweep over rates that a store has; DataError where there is none, or more than one."""
    settings: dict[Any, dict[tuple[str, int, int], dict[float, list[float]]]] = defaultdict(dict)
    for record in source.records:
        if record.status not in ("done", "diverged"):
            continue
        model = record.config.model
        curve = settings[_rest(record)].setdefault((model.parametrization, model.width, model.layers), {})
        loss = record.final["loss"] if record.status == "done" else np.nan
        curve.setdefault(record.config.optimizer.lr, []).append(loss)
    swept = []
    for curves in settings.values():
        made = [_bowl_of(key, curve) for key, curve in sorted(curves.items()) if len(curve) >= LEAST]
        swept += [[b for b in made if np.isfinite(b.losses).any()]]
    swept = [made for made in swept if made]
    if not swept:
        raise DataError(
            f"{source.name}: no model was trained at {LEAST} learning rates or more: launch transfer-check first"
        )
    if len(swept) > 1:
        raise DataError(
            f"{source.name}: {len(swept)} sweeps of learning rates, which differ in more than rate, size and seed: "
            "give a store that has one of them"
        )
    return swept[0]


def _bowl_of(key: tuple[str, int, int], curve: dict[float, list[float]]) -> Bowl:
    rates = np.array(sorted(curve))
    return Bowl(*key, rates, np.array([np.mean(curve[rate]) for rate in rates]))


def _rest(record: Record) -> Any:
    """What runs of one sweep have in common: all but rate, seed, size and parametrisation."""
    config = record.config
    model = {f.name: getattr(config.model, f.name) for f in dataclasses.fields(config.model)}
    own = (*SHAPE, "heads", "kv_heads", "mlp_width", "parametrization", "base_width", "base_depth", "base_head")
    kept = tuple(value for name, value in model.items() if name not in own)
    optimizer = dataclasses.replace(config.optimizer, lr=1.0)
    return (kept, optimizer, config.data, config.batch, config.steps, config.schedule, config.precision)


def _bowl(axes: Axes, bowl: Bowl, size: str, color: Any, top: float) -> None:
    name = f"{SAID[bowl.parametrization]}, {size}"
    good = np.isfinite(bowl.losses)
    marks.line(axes, name, bowl.rates[good], bowl.losses[good], color=color, label=size, marker="o", markersize=2.4)
    if not good.all():
        lost = bowl.rates[~good]
        marks.points(axes, f"diverged, {name}", lost, np.full(len(lost), top), color=color, marker="X", s=20)
    rate, loss = bowl.best
    marks.points(axes, f"best rate, {name}", rate, loss, sound=[bowl.inside], color=color, marker="D", s=26, zorder=5)


def _size(bowl: Bowl, sizes: list[tuple[int, int]]) -> str:
    widths, depths = {w for w, _ in sizes}, {d for _, d in sizes}
    said = [f"width {bowl.width}"] if len(widths) > 1 or len(depths) == 1 else []
    return ", ".join(said + ([f"{bowl.layers} layers"] if len(depths) > 1 else []))


def _title(of: list[Bowl]) -> str:
    """The parametrisation, and by how much its best rate moves from the smallest size to the largest."""
    first, last = of[0], of[-1]
    said = SAID[first.parametrization]
    moved = last.best[0] / first.best[0]
    return said if first is last else rf"{said}: best rate $\times$ {moved:.2g}"


def _limits(found: list[Bowl]) -> tuple[float, float]:
    """From the lowest loss to where the middle of all bowls' highest lies: what blows up leaves the panel."""
    lows = [float(np.nanmin(b.losses)) for b in found]
    highs = [float(np.nanmax(b.losses)) for b in found]
    low, high = min(lows), max(float(np.median(highs)), max(lows) + 0.1 * (max(lows) - min(lows)))
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
