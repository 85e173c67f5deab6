"""Reads stores and tables of runs, fits scaling laws to them, and makes figures and reports; it never trains.

In a notebook: `from analysis import fit, laws, load, FitOptions, ReadOptions`. These names are imported on first use,
so that the command line answers --help at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import laws
    from analysis.data.load import load
    from analysis.data.options import ReadOptions
    from analysis.data.points import Points
    from analysis.errors import DataError, FitError
    from analysis.fitting.fit import fit
    from analysis.fitting.options import FitOptions
    from analysis.fitting.result import Fit

__all__ = ["DataError", "Fit", "FitError", "FitOptions", "Points", "ReadOptions", "fit", "laws", "load"]

_MODULES = {
    "DataError": "analysis.errors",
    "Fit": "analysis.fitting.result",
    "FitError": "analysis.errors",
    "FitOptions": "analysis.fitting.options",
    "Points": "analysis.data.points",
    "ReadOptions": "analysis.data.options",
    "fit": "analysis.fitting.fit",
    "load": "analysis.data.load",
}


def __getattr__(name: str) -> Any:
    if name == "laws":
        return importlib.import_module("analysis.laws")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
