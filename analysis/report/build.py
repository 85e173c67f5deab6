"""Writes a report: one HTML file with the law, the optimum, warnings, figures, runs and their origin.

All numbers come from fits and records. Figures and styles are embedded, so that the page needs no other file. Each
figure is embedded twice: in a wide version, and with stacked panels for narrow screens.
"""

from __future__ import annotations

from pathlib import Path

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError, FitError
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from analysis.report import evals
from analysis.report.findings import Findings, fit_laws, with_progress
from analysis.report.html import render
from analysis.report.page import describe
from analysis.report.pictures import draw_pictures
from analysis.report.sections import autoencoders, forecasts
from scaling.store.files import write_atomic

TITLES = {  # in the order of the page
    "isoflop": "IsoFLOP profiles",
    "curves": "Learning curves",
    "collapse": "Learning curves normalised by their end",
    "contours": "The fitted surface",
    "kaplan": "Loss against compute, data and size",
    "parity": "Predicted against measured",
}
CONVENTIONS = {"conventions": "The same runs under each counting convention"}  # after the others


def write_report(
    source: Source | str | Path | StoreSnapshot,
    out: str | Path,
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> Path:
    """Writes OUT/report.html and OUT/figures/*. The page gives the reason for each failed fit or figure.

    Args:
        source: Source of the report, or the path of a store or file.
        out: Folder to write to.
        options: Options of the fits, if the source is a path.
        reading: Options of reading the source, if it is a path.

    Returns:
        The path of the page.

    Raises:
        DataError: The source cannot be read.
    """
    out = Path(out)
    source = source if isinstance(source, Source) else load(source, options, reading)
    if source.store is not None:
        source.curves()  # before processes are forked: files that are damaged are noted here
    titles = ({} if source.has_only_scores else TITLES) | evals.figure_titles(source) | forecasts.figure_titles(source)
    titles |= autoencoders.figure_titles(source)
    drawn = draw_pictures(titles, source, out / "figures")
    findings = Findings(source) if source.has_only_scores else fit_laws(source)  # while figures are drawn
    counted = list(draw_pictures(_convention_titles(source), source, out / "figures"))  # here, as the page needs them
    pictures = [*with_progress(drawn, "figures", len(titles)), *counted]
    page = render("report.html.j2", {"page": describe(findings, pictures)})
    write_atomic(out / "report.html", page.encode())
    return out / "report.html"


def _convention_titles(source: Source) -> dict[str, str]:
    """Title of the figure of counting conventions by its name, if the source allows more than one convention."""
    try:
        return CONVENTIONS if len(source.points) and len(source.conventions()) > 1 else {}
    except (DataError, FitError):
        return {}
