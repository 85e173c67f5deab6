"""How every figure looks: widths, fonts, colours, log axes, bytes that do not change from one day to the next.

Text width 5.5 in and column width 3.25 in are those of the NeurIPS and ICML style files, so a figure goes into
a paper unscaled. Fonts are STIX (shipped with Matplotlib), embedded as TrueType: venues refuse Type 3.
Colours: Okabe & Ito 2008 where there is no order, viridis where there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter

TEXT, COLUMN = 5.5, 3.25  # inches
WIDTHS = {"text": TEXT, "column": COLUMN}

BLACK, ORANGE, SKY, GREEN = "#1a1a1a", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8a8a8a"

N_LABEL, D_LABEL = "Model size $N$ (parameters)", "Training data $D$ (tokens)"
C_LABEL, L_LABEL = "Compute $C$ (FLOPs)", "Loss $L$ (nats/token)"

RC: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.6,
    "axes.edgecolor": BLACK,
    "axes.labelcolor": BLACK,
    "text.color": BLACK,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "xtick.minor.size": 1.6,
    "ytick.minor.size": 1.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 220,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "scaling",
}

# What a file would say about when it was made, and by which version of Matplotlib: left out.
METADATA: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def context() -> AbstractContextManager[None]:
    """The style, for a `with` block: figures are made, drawn and saved inside it."""
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **RC}
    return matplotlib.rc_context(settings)


def panels(
    width: float, rows: int, columns: int, *, height: float, ratios: Sequence[float] | None = None, stack: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure `width` inches wide with rows × columns panels of `height` inches; one column when it is narrow, unless
    `stack` is off: then it is for panels that mean something side by side."""
    narrow = width < 4.5 and stack
    if narrow:
        rows, columns, ratios, height = rows * columns, 1, None, max(height, 2.1)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.05)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios)
    axes = list(grid.flat)
    if len(axes) > 1:
        for place, axis in enumerate(axes):
            axis.set_title(f"({letter(place)})", loc="left", fontsize=8.5, pad=4)
    return figure, axes


def letter(place: int) -> str:
    """What a panel is called, from 0: a to z, then aa, ab, .."""
    head, tail = divmod(place, 26)
    return (letter(head - 1) if head else "") + "abcdefghijklmnopqrstuvwxyz"[tail]


def settle(figure: Figure) -> None:
    """Computes the layout, once for every format, and rounds it: the solver's last bits differ from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 5) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def ordered(values: Sequence[float] | np.ndarray) -> list[tuple[float, float, float, float]]:
    """A colour for each value by its rank: viridis without the yellow that white paper swallows."""
    distinct = sorted(set(map(float, values)))
    place = {v: 0.06 + 0.80 * (i / max(1, len(distinct) - 1)) for i, v in enumerate(distinct)}
    return [colormaps["viridis"](place[float(v)]) for v in values]


def log_axes(axes: Axes, *, x: bool = True, y: bool = True) -> None:
    """Log scales with labels that can be read however little of a decade they span. Call when all is drawn."""
    if x:
        _log_axis(axes, "x")
    if y:
        _log_axis(axes, "y")


def _log_axis(axes: Axes, which: str) -> None:
    getattr(axes, f"set_{which}scale")("log")
    low, high = getattr(axes, f"get_{which}lim")()
    axis = getattr(axes, f"{which}axis")
    inches = _extent(axes, which)
    major, minor = log_ticks(low, high, want=max(2, int(inches / (0.42 if which == "x" else 0.32))))
    axis.set_major_locator(FixedLocator(major))
    axis.set_major_formatter(FixedFormatter([log_label(v, major) for v in major]))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_minor_formatter(NullFormatter())
    getattr(axes, f"set_{which}lim")(low, high)


def _extent(axes: Axes, which: str) -> float:
    """Rough length of an axis in inches, before the layout is known."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    width, height = figure.get_size_inches()
    return float(box.width * width if which == "x" else box.height * height)


def log_ticks(low: float, high: float, want: int = 4) -> tuple[list[float], list[float]]:
    """Labelled and unlabelled ticks of a log axis from `low` to `high`, at most about `want` labels."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = last - first + 1
    if decades >= 2 and math.log10(high / low) >= 1.5:
        step = math.ceil(decades / want)
        major = [10.0**e for e in range(first, last + 1) if (last - e) % step == 0]
        minor = (
            [10.0**e for e in range(first, last + 1) if (last - e) % step]
            if step > 1
            else _within(low, high, range(2, 10))
        )
        return major, minor
    for digits in ((1, 2, 5), (1, 3), (1, 2, 3, 5), (1, 2, 3, 4, 6, 8)):
        major = _within(low, high, digits)
        if min(3, want) <= len(major) <= want + 1:
            return major, [v for v in _within(low, high, range(1, 10)) if not np.isclose(major, v).any()]
    major = [float(v) for v in MaxNLocator(want, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= v <= high]
    return major, []


def _within(low: float, high: float, digits: Sequence[int]) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]


def log_label(value: float, among: Sequence[float]) -> str:
    """Plain digits from 0.01 to 999, powers of ten beyond."""
    if all(1e-2 <= v < 1e3 for v in among):
        return f"{value:.6g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = value / 10.0**exponent
    power = f"10^{{{exponent}}}"
    return f"${power}$" if abs(digits - 1) < 1e-6 else rf"${digits:.4g}{{\times}}{power}$"


def legend_below(figure: Figure, axes: Axes, columns: int, title: str | None = None) -> None:
    """A legend of what `axes` shows under the whole figure, read row by row (Matplotlib's own order is by column)."""
    handles, labels = axes.get_legend_handles_labels()
    order = [i for column in range(columns) for i in range(column, len(handles), columns)]
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside lower center",
        ncols=columns,
        title=title,
        title_fontsize=7.5,
    )


def limits(*arrays: Any, pad: float = 0.06) -> tuple[float, float]:
    """Limits of a log axis that hold every finite positive value, with a margin of `pad` of their span."""
    values = np.concatenate([np.ravel(np.asarray(a, dtype=float)) for a in arrays])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = np.log(values.min()), np.log(values.max())
    margin = max(pad * (high - low), 0.01)
    return float(np.exp(low - margin)), float(np.exp(high + margin))


def short(value: float) -> str:
    """A count as people say it: 1.3M, 410B; beyond a thousand trillion a power of ten."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size <= value < 1e3 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}" if value < 1e3 else power(value)


def symbol(name: str) -> str:
    """A parameter's name as mathtext, without the dollars."""
    greek = ("alpha", "beta", "gamma", "delta", "epsilon", "eta", "kappa", "lambda", "sigma", "omega")
    head, _, below = name.partition("_")
    said = rf"\{head}" if head in greek else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return rf"{said}_{{\mathrm{{{below.replace('_', ' ')}}}}}" if below else said


def power(value: float, digits: int = 2) -> str:
    r"""A number as mathtext, 3.2{\times}10^{18}, without the dollars."""
    if not math.isfinite(value) or value == 0:
        return rf"\mathrm{{{value:g}}}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"{mantissa}{{\times}}10^{{{int(exponent)}}}"
