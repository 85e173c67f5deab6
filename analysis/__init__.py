"""Fits scaling laws to stores and tables of runs, and makes figures and reports of them.

In a notebook:

    from analysis import FitOptions, ReadOptions, fit
    from analysis.figures import plot

    result = fit("runs.csv", "chinchilla", FitOptions(bootstrap=1000), ReadOptions(where="C<1e21"))
    result.params, result.intervals, result.verdict
    result.predict(N=7e9, D=1.4e12)
    plot(result, "law")

`fit` reads the source, fits a law and returns a `Fit`; `load` only reads the source and returns `Points`. `FitOptions`
and `ReadOptions` document all options. `laws.LAWS` has the built-in laws by name. Bad input raises `DataError`, and a
fit that is not possible raises `FitError`. These names are imported on first use, so that `--help` stays fast.
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
