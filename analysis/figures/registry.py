"""Names of the figures and the modules that draw them."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

from analysis.errors import DataError

FIGURES = {
    "kaplan": "analysis.figures.fits.kaplan",
    "curves": "analysis.figures.training.curves",
    "isoflop": "analysis.figures.fits.isoflop",
    "contours": "analysis.figures.fits.contours",
    "parity": "analysis.figures.fits.parity",
    "law": "analysis.figures.fits.law",
    "profile": "analysis.figures.fits.profile",
    "conventions": "analysis.figures.fits.conventions",
    "transfer": "analysis.figures.training.transfer",
    "coordinates": "analysis.figures.training.coordinates",
    "attention": "analysis.figures.training.attention",
    "grokking": "analysis.figures.training.grokking",
    "double-descent": "analysis.figures.training.double_descent",
    "emergence": "analysis.figures.evals.emergence",
    "metrics": "analysis.figures.evals.metrics",
    "accuracy-loss": "analysis.figures.evals.accuracy_loss",
    "shots": "analysis.figures.evals.shots",
    "calibration": "analysis.figures.evals.calibration",
    "extraction": "analysis.figures.evals.extraction",
}


def figure_module(name: str) -> ModuleType:
    """Imports and returns the module of a figure. Raises DataError for an unknown name."""
    if name not in FIGURES:
        raise DataError(f"figure {name!r}: must be one of {', '.join(FIGURES)}")
    return importlib.import_module(FIGURES[name])


def takes_law(name: str) -> bool:
    """Returns whether a figure shows one law, which is chosen by name."""
    return "law" in inspect.signature(figure_module(name).figure).parameters
