"""Writes the files of a paper: macros, methods, tables, figures, provenance, a Makefile and a sample document.

All numbers come from the fits of the report. The same source, options and code give the same bytes.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError, FitError
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.format import json_ready
from analysis.paper import provenance
from analysis.paper.figures import draw_figures, figure_file
from analysis.paper.forecasts import forecast_macros, read_outcomes
from analysis.paper.latex import booktabs, escape, symbol
from analysis.paper.macros import all_macros, law_label, macro_file, macro_name
from analysis.paper.methods import methods
from analysis.paper.options import PaperOptions
from analysis.paper.tables import CAPTIONS, all_tables
from analysis.report.findings import LAWS, Findings, fit_laws
from analysis.studies.forecast.forecast import hash_points
from scaling.store.files import write_atomic

FIGURES = Path("figures")
SAMPLE = "paper.tex"
ORIGIN = "provenance.json"
EDITED = (SAMPLE, "Makefile")  # files that the user may change, which are not replaced then


def write_paper(
    source: Source | str | Path | StoreSnapshot,
    out: str | Path,
    paper: PaperOptions = PaperOptions(),
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> Path:
    """Writes the files of a paper into a folder.

    Args:
        source: Source of the paper, or the path of a store or file.
        out: Folder to write to. A sample document or Makefile that was changed stays; other files are replaced, and
            unchanged files of an earlier paper that this one lacks are removed.
        paper: Venue and laws.
        options: Options of the fits, if the source is a path.
        reading: Options of reading the source, if it is a path.

    Returns:
        The path of the sample document.

    Raises:
        DataError: The source cannot be read, or would be overwritten.
        FitError: No law can be fitted.
    """
    out = Path(out)
    law = paper.laws[0] if paper.laws else None
    source = source if isinstance(source, Source) else load(source, options, reading, law)
    if source.has_only_scores:
        raise DataError(f"{source.name}: is a table of scores: a paper needs the losses of runs")
    findings = _with_labels(fit_laws(source, paper.laws or LAWS))
    if not findings.fits:
        raise FitError(next(iter(findings.failures.values())))
    files, facts = _contents(provenance.published_findings(findings), paper, out, hash_points(source.points))
    _refuse_source(source, out, files)
    earlier = _earlier_hashes(out)
    kept = {name for name in EDITED if _is_changed(out / name, earlier.get(name), files[name])}
    for name in kept:
        del files[name]
    for name, data in files.items():
        write_atomic(out / name, data)
    _remove_outdated(out, earlier, {*files, *kept})
    write_atomic(out / ORIGIN, provenance.provenance_file(facts, files))
    return out / SAMPLE


def _with_labels(findings: Findings) -> Findings:
    """The findings with the names of functions in place of the paths of a user's laws."""
    labels = {law: law_label(law) for law in (*findings.fits, *findings.failures)}
    if len({*labels.values()}) < len(labels):
        raise DataError(f"--law {','.join(labels)}: two laws have one name: name their functions differently")
    fits = {labels[law]: replace(fit, law=labels[law]) for law, fit in findings.fits.items()}
    return replace(findings, fits=fits, failures={labels[law]: why for law, why in findings.failures.items()})


def _contents(
    findings: Findings, paper: PaperOptions, out: Path, points_hash: str
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Content of each file by its path in the folder, and the origin of the numbers."""
    source = findings.source
    published, shown = provenance.published_source(source, out), provenance.published_options(paper, out)
    outcomes = read_outcomes(source)
    figures = list(draw_figures(source, shown, published, outcomes))
    tables = all_tables(findings, outcomes)
    flags = provenance.arguments(published, shown)
    texts = {
        "macros.tex": macro_file(all_macros(findings, forecast_macros(outcomes))),
        "methods.tex": methods(findings, outcomes),
        "figures.tex": figure_file(figures, paper.page, FIGURES),
        SAMPLE: _sample(findings, paper, list(tables), published.name),
        "Makefile": _makefile(source, out, flags),
        "points.csv": _points_file(source.points),
    }
    texts |= {f"tables/{name}.tex": booktabs(table) for name, table in tables.items()}
    files = {name: text.encode() for name, text in texts.items()}
    for figure in figures:
        files |= {(FIGURES / name).as_posix(): data for name, data in figure.files.items()}
    facts = provenance.provenance(findings, figures, flags, points_hash)
    forecasts = json_ready([outcome.to_json() for outcome in outcomes])
    return files, facts | ({"forecasts": forecasts} if forecasts else {})


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=False,  # every text is escaped for LaTeX instead
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def _sample(findings: Findings, paper: PaperOptions, tables: list[str], name: str) -> str:
    page, level = paper.page, next(iter(findings.fits.values())).level
    width, height = page.text_inches
    return _environment().get_template("paper.tex.j2").render(
        venue=paper.venue,
        paper=page.paper,
        width=width,
        height=height,
        separation=page.separation,
        columns=2 if page.column else 1,
        table="table*" if page.column else "table",
        title=escape(f"Scaling laws of {name}"),
        results=_results(next(iter(findings.fits.values()))),
        tables=[(table, escape(CAPTIONS[table].format(level=f"{level:.0%}"))) for table in CAPTIONS if table in tables],
    )  # fmt: skip


def _results(fit: Fit) -> list[str]:
    """Sentences on the main law that take all numbers from macros."""
    law = macro_name(law_label(fit.law))
    params = [
        rf"{symbol(name)} = \{law}{macro_name(name)}Estimate{{}}"
        for name in fit.params
        if fit.optimum is None or name not in ("a", "b")
    ]
    lines = [
        rf"The law \texttt{{{escape(fit.law)}}}, fitted to \{law}Runs{{}} runs, has {', '.join(params)} "
        r"(\IntervalLevel{} intervals)."
    ]
    if fit.optimum is not None:
        lines.append(
            rf"The compute-optimal size grows with the exponent \{law}ExponentNEstimate{{}} of compute, the data with "
            rf"\{law}ExponentDEstimate{{}}."
        )
        lines += [_prediction(law, multiple, fit) for multiple in fit.budget_multiples]
    return [*lines, rf"The verdict on the fit is: \{law}Verdict{{}}."]


def _prediction(law: str, multiple: float, fit: Fit) -> str:
    at = rf"\{law}{macro_name('at', f'{multiple:g}')}"
    loss = rf", with a loss of {at}LEstimate{{}}" if fit.form is not None else ""
    return (
        rf"At {multiple:g} times the largest budget, {at}C{{}} FLOPs, the optimum is {at}NEstimate{{}} and "
        rf"{at}DEstimate{{}}{loss}."
    )


def _makefile(source: Source, out: Path, flags: list[str]) -> str:
    name = provenance.relative_name(source.name, out)
    usable = name is not None and name.isprintable()  # a Makefile has no way to write a line feed
    text = provenance.make_text([name]) if name is not None and usable else ""
    return _environment().get_template("Makefile.j2").render(source=text, flags=provenance.make_text(flags))


def _points_file(points: Points) -> str:
    """The fitted runs in full precision; quantities that are not known are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    letters = [letter for letter in ("N", "D", "C", "L", *points.extra) if not all(map(_is_nan, points[letter]))]
    writer.writerow(["name", *letters])
    for row, name in enumerate(points.names):
        values = (float(points[letter][row]) for letter in letters)
        writer.writerow([name, *("" if _is_nan(value) else repr(value) for value in values)])
    return text.getvalue()


def _is_nan(value: float) -> bool:
    return value != value


def _refuse_source(source: Source, out: Path, files: Mapping[str, bytes]) -> None:
    target = Path(source.name).resolve()
    for name in (*files, ORIGIN):
        if (out / name).resolve() == target:
            raise DataError(f"{out / name}: is the source and would be overwritten: change --out")


def _earlier_hashes(out: Path) -> dict[str, str]:
    """SHA-256 of the files of an earlier paper in the folder, by path; {} if there is none or its list is damaged."""
    try:
        files = json.loads((out / ORIGIN).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {k: v for k, v in files.items() if isinstance(v, str)} if isinstance(files, dict) else {}


def _is_changed(path: Path, earlier: str | None, new: bytes) -> bool:
    """Whether a file differs from the one written before, and from the new one."""
    if not path.is_file():
        return False
    data = path.read_bytes()
    return data != new and provenance.sha256(data) != earlier


def _remove_outdated(out: Path, earlier: Mapping[str, str], current: set[str]) -> None:
    """Removes files of an earlier paper that have not been changed and that the new one lacks."""
    for name, digest in earlier.items():
        path = out / name
        known = Path(name).parent.as_posix() in (".", "tables", FIGURES.as_posix()) and not Path(name).is_absolute()
        if known and name not in current and path.is_file() and provenance.sha256(path.read_bytes()) == digest:
            path.unlink()
