"""Style of all figures: widths, fonts, colours, logarithmic axes and reproducible files.

The text width of 5.5 in and the column width of 3.25 in are those of the NeurIPS and ICML style files, so that figures
need no scaling. Fonts are STIX (shipped with Matplotlib), embedded as TrueType because conferences do not accept Type 3
fonts. Colours: Okabe & Ito 2008 for unordered series, viridis for ordered ones.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter

from analysis.figures.options import WIDTHS
from analysis.format import COUNT_PREFIXES, short_loss_unit

TEXT_WIDTH = WIDTHS["text"]
SCREEN_DPI = 120  # pixels per inch of a figure in a notebook
NARROW = 4.5  # inches: panels of a figure below this width are stacked

BLACK, ORANGE, SKY, GREEN = "#1a1a1a", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8a8a8a"

VIRIDIS_RANGE = (0.06, 0.86)  # part of the colour map with enough contrast to white

N_LABEL, D_LABEL = "Model size $N$ (parameters)", "Training data $D$ (tokens)"
C_LABEL = "Compute $C$ (FLOPs)"

RC_PARAMS: dict[str, Any] = {
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

# Metadata removed from files, because dates and versions are not reproducible.
METADATA: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


class StyledFigure(Figure):
    """Figure that is saved in this style, whatever the settings of Matplotlib are then.

    The type of embedded fonts is a setting at the time of saving, which would otherwise be Matplotlib's Type 3.
    """

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Saves the figure as `matplotlib.figure.Figure.savefig` does."""
        with style_context():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        """The figure as a notebook shows it, without pyplot: a PNG, and its width on the screen."""
        image = io.BytesIO()
        self.savefig(image, format="png", metadata=METADATA["png"])
        return image.getvalue(), {"width": self.get_size_inches()[0] * SCREEN_DPI}


def style_context() -> AbstractContextManager[None]:
    """Returns a context manager that applies the style; figures are created, drawn and saved inside it."""
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **RC_PARAMS}
    return matplotlib.rc_context(settings)


def panels(
    width: float, rows: int, columns: int, *, height: float, ratios: Sequence[float] | None = None, stack: bool = True
) -> tuple[Figure, list[Axes]]:
    """Creates a figure with a grid of panels.

    Args:
        width: Width of the figure in inches.
        rows: Rows of panels.
        columns: Columns of panels.
        height: Height of a panel in inches.
        ratios: Relative widths of the columns; equal by default.
        stack: Whether to stack all panels in one column if the figure is narrow; False for panels that are compared
            side by side.

    Returns:
        The figure and its panels, row by row.
    """
    if is_narrow(width) and stack:
        rows, columns, ratios, height = rows * columns, 1, None, max(height, 2.1)
    figure = StyledFigure(figsize=(width, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.05)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios)
    axes = list(grid.flat)
    if len(axes) > 1:
        for index, panel in enumerate(axes):
            panel.set_title(f"({panel_label(index)})", loc="left", fontsize=8.5, pad=4)
    return figure, axes


def is_narrow(width: float) -> bool:
    """Returns whether a figure is too narrow for panels side by side."""
    return width < NARROW


def panel_label(index: int) -> str:
    """Returns the label of a panel, counted from 0: a to z, then aa, ab, and so on."""
    head, tail = divmod(index, 26)
    return (panel_label(head - 1) if head else "") + "abcdefghijklmnopqrstuvwxyz"[tail]


def fix_layout(figure: Figure) -> None:
    """Computes and rounds the layout once for all file formats, because the layout solver is not reproducible.

    It is computed with the canvas and resolution of PNG files, so that a PNG reuses the parsed labels.
    """
    FigureCanvasAgg(figure)
    layout_engine, dpi = figure.get_layout_engine(), figure.dpi
    if layout_engine is not None:
        figure.dpi = RC_PARAMS["savefig.dpi"]
        layout_engine.execute(figure)
        figure.dpi = dpi
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 5) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def sequential_colors(values: Sequence[float] | np.ndarray) -> list[tuple[float, float, float, float]]:
    """Returns a colour for each value by its rank, from viridis without the light end."""
    distinct = sorted(set(map(float, values)))
    low, high = VIRIDIS_RANGE
    position = {v: low + (high - low) * (i / max(1, len(distinct) - 1)) for i, v in enumerate(distinct)}
    return [colormaps["viridis"](position[float(v)]) for v in values]


def log_axes(axes: Axes, *, x: bool = True, y: bool = True) -> None:
    """Makes axes logarithmic, with readable labels also below a decade. Must be called after setting limits.

    Args:
        axes: The panel; its limits do not change.
        x: Whether the horizontal axis is logarithmic.
        y: Whether the vertical axis is logarithmic.
    """
    if x:
        _log_axis(axes, "x")
    if y:
        _log_axis(axes, "y")


def _log_axis(axes: Axes, which: str) -> None:
    getattr(axes, f"set_{which}scale")("log")
    low, high = getattr(axes, f"get_{which}lim")()
    axis = getattr(axes, f"{which}axis")
    label_inches = 0.42 if which == "x" else 0.32
    major, minor = log_ticks(low, high, count=max(2, int(_axis_inches(axes, which) / label_inches)))
    axis.set_major_locator(FixedLocator(major))
    axis.set_major_formatter(FixedFormatter([log_label(v, major) for v in major]))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_minor_formatter(NullFormatter())
    getattr(axes, f"set_{which}lim")(low, high)


def _axis_inches(axes: Axes, which: str) -> float:
    """Approximate length of an axis in inches, before the layout is computed."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    width, height = figure.get_size_inches()
    return float(box.width * width if which == "x" else box.height * height)


def log_ticks(low: float, high: float, count: int = 4) -> tuple[list[float], list[float]]:
    """Returns the ticks of a logarithmic axis.

    Args:
        low: Lower limit of the axis, above 0.
        high: Upper limit of the axis.
        count: Approximate number of labels.

    Returns:
        Labelled and unlabelled ticks.
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = last - first + 1
    if decades >= 2 and math.log10(high / low) >= 1.5:
        step = math.ceil(decades / count)
        major = [10.0**e for e in range(first, last + 1) if (last - e) % step == 0]
        minor = (
            [10.0**e for e in range(first, last + 1) if (last - e) % step]
            if step > 1
            else _within(low, high, range(2, 10))
        )
        return major, minor
    for digits in ((1, 2, 5), (1, 3), (1, 2, 3, 5), (1, 2, 3, 4, 6, 8)):
        major = _within(low, high, digits)
        if min(3, count) <= len(major) <= count + 1:
            return major, [v for v in _within(low, high, range(1, 10)) if not np.isclose(major, v).any()]
    major = [float(v) for v in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= v <= high]
    return major, []


def _within(low: float, high: float, digits: Sequence[int]) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]


def log_label(value: float, ticks: Sequence[float]) -> str:
    """Formats a tick of a logarithmic axis: plain digits from 0.01 to 999, powers of ten beyond.

    Args:
        value: The tick.
        ticks: All labelled ticks of the axis; if one is outside of this range, all are powers of ten.
    """
    if all(1e-2 <= v < 1e3 for v in ticks):
        return f"{value:.6g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    digits = value / 10.0**exponent
    power = f"10^{{{exponent}}}"
    return f"${power}$" if abs(digits - 1) < 1e-6 else rf"${digits:.4g}{{\times}}{power}$"


def legend_below(figure: Figure, axes: Axes, columns: int, title: str | None = None) -> None:
    """Places the legend of a panel below the figure, in order of rows (Matplotlib orders by column).

    Args:
        figure: The figure.
        axes: The panel whose labelled artists are listed.
        columns: Number of columns of the legend.
        title: Title of the legend.
    """
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


def log_limits(*arrays: Any, pad: float = 0.06) -> tuple[float, float]:
    """Returns limits of a logarithmic axis that contain every finite positive value.

    Args:
        *arrays: Values of any shapes.
        pad: Margin on each side as a share of the span of the logarithms.
    """
    values = np.concatenate([np.ravel(np.asarray(a, dtype=float)) for a in arrays])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = np.log(values.min()), np.log(values.max())
    margin = max(pad * (high - low), 0.01)
    return float(np.exp(low - margin)), float(np.exp(high + margin))


def loss_label(unit: str) -> str:
    """Returns the label of an axis of the loss.

    Args:
        unit: Unit of the loss, as in `Points.loss_unit`.
    """
    return f"Loss $L$ ({short_loss_unit(unit)})"


def short_count(value: float) -> str:
    """Formats a count with a unit prefix (1.3M, 410B), and as a power of ten from 10^15."""
    for size, prefix in COUNT_PREFIXES:
        if size <= value < 1e3 * size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}" if value < 1e3 else math_number(value)


def math_symbol(name: str) -> str:
    """Returns the name of a parameter as mathtext without dollar signs."""
    greek = ("alpha", "beta", "gamma", "delta", "epsilon", "eta", "kappa", "lambda", "sigma", "omega")
    head, _, subscript = name.partition("_")
    symbol = rf"\{head}" if head in greek else head if len(head) == 1 else rf"\mathrm{{{head}}}"
    return rf"{symbol}_{{\mathrm{{{subscript.replace('_', ' ')}}}}}" if subscript else symbol


def math_number(value: float, digits: int = 2) -> str:
    r"""Formats a number as mathtext without the dollar signs, such as 3.2{\times}10^{18}.

    Args:
        value: The number.
        digits: Significant digits.
    """
    if not math.isfinite(value) or value == 0:
        return rf"\mathrm{{{value:g}}}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"{mantissa}{{\times}}10^{{{int(exponent)}}}"
