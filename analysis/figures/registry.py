"""Names of the figures, the modules that draw them, and the options that each of them uses."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals.options import READING, EmergenceOptions
from analysis.figures.options import SCORES, FigureOptions, SourceOptions
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import changed_flags, option_flags

ALL_READING = tuple(option_flags(ReadOptions))
POINTS = (*ALL_READING, *COMMON)  # options of points and of a fit to them
SCORE_CURVES = (*READING, *SCORES, "level", "seed")  # options of scores by scale


@dataclass(frozen=True)
class FigureEntry:
    """A figure.

    Attributes:
        module: Name of its module.
        options: Names of the options that it uses: fields of FigureOptions, ReadOptions, FitOptions and
            EmergenceOptions. Every figure uses `width`. Other options are refused.
    """

    module: str
    options: tuple[str, ...] = ()


FIGURES = {
    "kaplan": FigureEntry("analysis.figures.fits.kaplan", POINTS),
    "curves": FigureEntry("analysis.figures.training.curves", ("where", "flops", "params")),
    "isoflop": FigureEntry("analysis.figures.fits.isoflop", (*ALL_READING, "bootstrap", "level", "seed")),
    "contours": FigureEntry("analysis.figures.fits.contours", ("law", *POINTS)),
    "parity": FigureEntry("analysis.figures.fits.parity", ("law", *POINTS)),
    "law": FigureEntry("analysis.figures.fits.law", ("law", *POINTS)),
    "profile": FigureEntry("analysis.figures.fits.profile", ("law", *POINTS)),
    "conventions": FigureEntry("analysis.figures.fits.conventions", tuple({*POINTS} - {"flops", "params"})),
    "transfer": FigureEntry("analysis.figures.training.transfer", ("columns", "where")),
    "coordinates": FigureEntry("analysis.figures.training.coordinates"),
    "attention": FigureEntry("analysis.figures.training.attention"),
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


def find_figure(name: str) -> FigureEntry:
    """Returns the figure of that name. Raises DataError for an unknown name."""
    if name not in FIGURES:
        raise DataError(f"figure {name!r}: must be one of {', '.join(FIGURES)}")
    return FIGURES[name]


def figure_module(name: str) -> ModuleType:
    """Imports and returns the module of a figure. Raises DataError for an unknown name."""
    return importlib.import_module(find_figure(name).module)


def check_options(name: str, figure: FigureOptions, source: SourceOptions) -> None:
    """Raises DataError for an option that differs from its default and that the figure does not use.

    Args:
        name: Name of the figure.
        figure: Law and width.
        source: Options of reading the source and of the computation.
    """
    used = {"width", *find_figure(name).options}
    scores = {field: flag for field, flag in changed_flags(source.scores).items() if field in SCORES}
    changed = changed_flags(figure) | changed_flags(source.reading) | changed_flags(source.fits) | scores
    unused = [flag for field, flag in changed.items() if field not in used]
    if unused:
        raise DataError(f"figure {name} does not use {', '.join(unused)}: it uses {', '.join(_used_flags(used))}")


def _used_flags(used: set[str]) -> list[str]:
    groups = (FigureOptions, ReadOptions, FitOptions, EmergenceOptions)
    flags = {field: flag for group in groups for field, flag in option_flags(group).items()}
    return [flag for field, flag in flags.items() if field in used]
