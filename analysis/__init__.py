"""Fits scaling laws to stores and tables of runs, and makes figures and reports of them.

In a notebook:

    from analysis import FitOptions, ReadOptions, curves, fit, plot, save_figure, table, write_report

    runs = table("store")  # a pandas DataFrame, one row per run
    steps = curves("store")  # one row per logged step
    result = fit("runs.csv", "chinchilla", FitOptions(bootstrap=1000), ReadOptions(where="C<1e21"))
    result.params, result.intervals, result.verdict
    result.predict(N=7e9, D=1.4e12)
    plot(result, "law")
    save_figure("store", "isoflop", "isoflop.pdf")
    write_report("store", "report")

`fit` reads a source, fits a law and returns a `Fit`; `load` only reads the source and returns `Points`; `table` and
`curves` read a store. `optimal_training`, `cheapest_training` and `off_optimum` plan with a fitted law, `advise`
recommends runs for a `Target`, `power_statement` says which other laws runs could tell, `backtest` compares what laws
predict, and `emergence_study` judges scores.
`audit_source` checks a source before a fit. `plot` returns a Matplotlib figure, `save_figure`, `write_report` and
`write_paper` write files. The commands of `python -m analysis` call these functions. `FitOptions`, `ReadOptions`,
`FigureOptions`, `EmergenceOptions` and `PaperOptions` document all options. `laws.LAWS` has the built-in laws by
name. Bad input raises `DataError`, and a fit that is not possible raises `FitError`. These names are imported on
first use, so that `--help` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import laws
    from analysis.data.from_store import curves, table
    from analysis.data.load import load
    from analysis.data.options import ReadOptions
    from analysis.data.points import Points
    from analysis.errors import DataError, FitError
    from analysis.evals.emergence import emergence_study
    from analysis.evals.options import EmergenceOptions
    from analysis.figures import plot
    from analysis.figures.options import FigureOptions
    from analysis.figures.save import save_figure
    from analysis.figures.source import Source
    from analysis.fitting.fit import fit
    from analysis.fitting.options import FitOptions
    from analysis.fitting.result import Fit
    from analysis.laws.law import Law
    from analysis.paper.build import write_paper
    from analysis.paper.options import PaperOptions
    from analysis.planning.compute_optimal import cheapest_training, off_optimum, optimal_training
    from analysis.planning.next_runs import Target, advise
    from analysis.report.build import write_report
    from analysis.studies.audit.audit import audit_source
    from analysis.studies.backtest.backtest import backtest
    from analysis.studies.published.manifest import published_data_sets
    from analysis.studies.published.problems import run_problem
    from analysis.studies.simulations.power import power_statement

__all__ = [
    "DataError",
    "EmergenceOptions",
    "FigureOptions",
    "Fit",
    "FitError",
    "FitOptions",
    "Law",
    "PaperOptions",
    "Points",
    "ReadOptions",
    "Source",
    "Target",
    "advise",
    "audit_source",
    "backtest",
    "cheapest_training",
    "curves",
    "emergence_study",
    "fit",
    "laws",
    "load",
    "off_optimum",
    "optimal_training",
    "plot",
    "power_statement",
    "published_data_sets",
    "run_problem",
    "save_figure",
    "table",
    "write_paper",
    "write_report",
]

_MODULES = {
    "DataError": "analysis.errors",
    "EmergenceOptions": "analysis.evals.options",
    "FigureOptions": "analysis.figures.options",
    "Fit": "analysis.fitting.result",
    "FitError": "analysis.errors",
    "FitOptions": "analysis.fitting.options",
    "Law": "analysis.laws.law",
    "PaperOptions": "analysis.paper.options",
    "Points": "analysis.data.points",
    "ReadOptions": "analysis.data.options",
    "Source": "analysis.figures.source",
    "Target": "analysis.planning.next_runs",
    "advise": "analysis.planning.next_runs",
    "audit_source": "analysis.studies.audit.audit",
    "backtest": "analysis.studies.backtest.backtest",
    "cheapest_training": "analysis.planning.compute_optimal",
    "curves": "analysis.data.from_store",
    "emergence_study": "analysis.evals.emergence",
    "fit": "analysis.fitting.fit",
    "load": "analysis.data.load",
    "off_optimum": "analysis.planning.compute_optimal",
    "optimal_training": "analysis.planning.compute_optimal",
    "plot": "analysis.figures",
    "power_statement": "analysis.studies.simulations.power",
    "published_data_sets": "analysis.studies.published.manifest",
    "run_problem": "analysis.studies.published.problems",
    "save_figure": "analysis.figures.save",
    "table": "analysis.data.from_store",
    "write_paper": "analysis.paper.build",
    "write_report": "analysis.report.build",
}


def __getattr__(name: str) -> Any:
    if name == "laws":
        return importlib.import_module("analysis.laws")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
