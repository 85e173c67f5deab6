"""Names of the figures, the modules that draw them, and the options that each of them uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals.options import READING, EmergenceOptions
from analysis.figures.options import SCORES, FigureOptions, SourceOptions
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import changed_flags, option_flags
from scaling.config.user_code import parse_reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL_READING = tuple(option_flags(ReadOptions))
POINTS = (*ALL_READING, *COMMON)  # options of points and of a fit to them
SCORE_CURVES = (*READING, *SCORES, "level", "seed")  # options of scores by scale


@dataclass(frozen=True)
class FigureEntry:
    """A figure.

    Attributes:
        module: Name of its module; "" for a figure of a user's own.
        options: Names of the options that it uses: fields of FigureOptions, ReadOptions, FitOptions and
            EmergenceOptions. Every figure in a module uses `width`. Other options are refused.
        function: Function of a user's figure; None for `figure` in the module.
    """

    module: str
    options: tuple[str, ...] = ()
    function: Callable[..., Figure] | None = None


FIGURES = {
    "kaplan": FigureEntry("analysis.figures.fits.kaplan", POINTS),
    "curves": FigureEntry("analysis.figures.training.curves", ("where", "flops", "params")),
    "isoflop": FigureEntry("analysis.figures.fits.isoflop", (*ALL_READING, "bootstrap", "level", "seed")),
    "contours": FigureEntry("analysis.figures.fits.contours", ("law", *POINTS)),
    "parity": FigureEntry("analysis.figures.fits.parity", ("law", *POINTS)),
    "law": FigureEntry("analysis.figures.fits.law", ("law", *POINTS)),
    "profile": FigureEntry("analysis.figures.fits.profile", ("law", *POINTS)),
    "conventions": FigureEntry("analysis.figures.fits.conventions", tuple({*POINTS} - {"flops", "params"})),
    "collapse": FigureEntry("analysis.figures.training.collapse"),
    "forecasts": FigureEntry("analysis.figures.fits.forecasts"),
    "transfer": FigureEntry("analysis.figures.training.transfer", ("columns", "where")),
    "coordinates": FigureEntry("analysis.figures.training.coordinates"),
    "attention": FigureEntry("analysis.figures.training.attention"),
    "sae-loss": FigureEntry("analysis.figures.fits.autoencoders", ("where", *COMMON)),
    "sae-exponents": FigureEntry("analysis.figures.fits.sae_exponents", ("where", *COMMON)),
    "sae-pareto": FigureEntry("analysis.figures.training.sae_pareto", ("where",)),
    "sae-density": FigureEntry("analysis.figures.training.sae_density", ("where",)),
    "grokking": FigureEntry("analysis.figures.training.grokking", ("level",)),
    "double-descent": FigureEntry("analysis.figures.training.double_descent", ("columns", "where", "level")),
    "emergence": FigureEntry("analysis.figures.evals.emergence", SCORE_CURVES),
    "metrics": FigureEntry("analysis.figures.evals.metrics", SCORE_CURVES),
    "accuracy-loss": FigureEntry(
        "analysis.figures.evals.accuracy_loss", tuple({*SCORE_CURVES} - {"x", "continuous", "all_runs"})
    ),
    "shots": FigureEntry("analysis.figures.evals.shots", tuple({*SCORE_CURVES} - {"x", "all_runs"})),
    "calibration": FigureEntry("analysis.figures.evals.calibration", ("tasks", "bootstrap", "level", "seed")),
    "extraction": FigureEntry("analysis.figures.evals.extraction", ("level",)),
}


def find_figure(name: str | Callable[..., Figure]) -> FigureEntry:
    """Returns a figure.

    Args:
        name: A name in FIGURES; a user's own, FILE.py:FUNCTION or package.module:FUNCTION; or a function.

    Raises:
        DataError: The name is unknown, or the user's file or function does not exist or has an error.
    """
    if isinstance(name, str) and name in FIGURES:
        return FIGURES[name]
    from analysis.figures import custom  # here, because --help reads the names of the figures and imports no pandas

    if isinstance(name, str) and parse_reference(name) is None:
        raise DataError(
            f"figure {name!r}: must be one of {', '.join(FIGURES)}, or your own FILE.py:FUNCTION or "
            "package.module:FUNCTION"
        )
    function = custom.load_figure(name) if isinstance(name, str) else name
    return FigureEntry("", (*custom.used_options(function), *POINTS), function)


def figure_module(name: str) -> ModuleType:
    """Imports and returns the module of a figure in FIGURES. Raises DataError for an unknown name."""
    return importlib.import_module(find_figure(name).module)


def used_options(name: str | Callable[..., Figure]) -> set[str]:
    """Returns the names of the options that a figure uses. Raises DataError for an unknown name."""
    entry = find_figure(name)
    return {*entry.options} | ({"width"} if entry.function is None else set())


def check_options(name: str | Callable[..., Figure], figure: FigureOptions, source: SourceOptions) -> None:
    """Raises DataError for an option that differs from its default and that the figure does not use.

    Args:
        name: Name of the figure.
        figure: Law, width and settings.
        source: Options of reading the source and of the computation.
    """
    used = used_options(name)
    scores = {field: flag for field, flag in changed_flags(source.scores).items() if field in SCORES}
    changed = changed_flags(figure) | changed_flags(source.reading) | changed_flags(source.fits) | scores
    unused = [flag for field, flag in changed.items() if field not in used]
    if unused:
        raise DataError(f"figure {name} does not use {', '.join(unused)}: it uses {', '.join(_used_flags(used))}")


def _used_flags(used: set[str]) -> list[str]:
    groups = (FigureOptions, ReadOptions, FitOptions, EmergenceOptions)
    flags = {field: flag for group in groups for field, flag in option_flags(group).items()}
    return [flag for field, flag in flags.items() if field in used]
