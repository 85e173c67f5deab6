"""Reads records, never trains: points, laws, fits with their doubt, figures, reports.

In a notebook: `from analysis import fit, laws, load`. They are loaded when first asked for, so that the command line
answers --help at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import laws
    from analysis.data.load import load
    from analysis.data.points import Points
    from analysis.errors import DataError, FitError
    from analysis.fitting.fit import fit
    from analysis.fitting.result import Fit

__all__ = ["DataError", "Fit", "FitError", "Points", "fit", "laws", "load"]

_HOMES = {
    "fit": "analysis.fitting.fit",
    "Fit": "analysis.fitting.result",
    "FitError": "analysis.errors",
    "load": "analysis.data.load",
    "Points": "analysis.data.points",
    "DataError": "analysis.errors",
}


def __getattr__(name: str) -> Any:
    if name == "laws":
        return importlib.import_module("analysis.laws")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
