"""What a paper comes from: points, code, versions, options and the hash of each file, without paths of the machine."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from analysis.data.points import Points
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.format import json_ready
from analysis.paper.figures import PaperFigure
from analysis.paper.options import PaperOptions
from analysis.report.findings import Findings
from scaling.config.options import format_options
from scaling.config.user_code import parse_reference
from scaling.store.origin.commit import code_commit
from scaling.store.origin.paths import public_path, without_folders

PACKAGES = ("numpy", "scipy", "pandas", "matplotlib")  # that compute the numbers and draw the figures


def relative_name(path: str | Path, out: Path) -> str | None:
    """Returns a file's path from the folder of a paper if both are in one folder, else None.

    A path that goes further up could name a user, a group or a project.

    Args:
        path: The file or folder.
        out: Folder of the paper.
    """
    target, base = Path(path).resolve(), out.resolve()
    if target == base or not target.is_relative_to(base.parent):
        return None
    inside = target.is_relative_to(base)
    name = target.relative_to(base) if inside else Path("..") / target.relative_to(base.parent)
    return name.as_posix()


def published_source(source: Source, out: Path) -> Source:
    """Returns the source with paths as they may be published: its own without folders, those of options from the paper.

    Args:
        source: Source of the paper.
        out: Folder of the paper.
    """
    schedule = source.reading.schedule
    if schedule:
        schedule = relative_name(schedule, out) or public_path(Path(schedule).resolve())
    return replace(source, name=Path(source.name).resolve().name, reading=replace(source.reading, schedule=schedule))


def published_findings(findings: Findings) -> Findings:
    """Returns the findings whose texts (names, notes, verdicts and reasons) have no path of the machine.

    Args:
        findings: The fits of a paper.
    """
    path, name = str(findings.source.name), Path(findings.source.name).resolve().name
    clean = functools.partial(published_texts, path=path, name=name)

    def clean_points(points: Points) -> Points:
        texts = {field: clean(getattr(points, field)) for field in ("names", "source", "convention")}
        return replace(points, **texts, notes=tuple(clean(points.notes)))

    def clean_fit(fit: Fit) -> Fit:
        form = fit.form
        if form is not None and parse_reference(form.source):  # a law in a user's file
            form = replace(form, source=Path(form.source).name)
        verdict, notes = tuple(clean(fit.verdict)), tuple(clean(fit.notes))
        return replace(fit, points=clean_points(fit.points), form=form, verdict=verdict, notes=notes)

    fits = {law: clean_fit(fit) for law, fit in findings.fits.items()}
    results = findings.source.results | fits  # which figures show
    source = replace(findings.source, points=clean_points(findings.source.points), results=results)
    return replace(findings, source=source, fits=fits, failures=clean(findings.failures))


def published_options(options: PaperOptions, out: Path) -> PaperOptions:
    """Returns the options of a paper with the files of a user's laws relative to the folder of the paper."""
    laws = []
    for law in options.laws:
        reference = parse_reference(law)
        name, colon, function = law.rpartition(":")
        is_file = reference is not None and name.endswith(".py")
        laws.append(
            (relative_name(name, out) or public_path(Path(name).resolve())) + colon + function if is_file else law
        )
    return replace(options, laws=tuple(laws))


def arguments(published: Source, options: PaperOptions) -> list[str]:
    """Returns the flags of the command, the venue first.

    Args:
        published: The source as `published_source` returns it.
        options: Venue and laws, as `published_options` returns them.
    """
    venue, others = ["--venue", options.venue], format_options(options, only=("laws",))
    return [*venue, *others, *published.arguments()]


def make_text(words: Sequence[str]) -> str:
    """Quotes words for a recipe of a Makefile."""
    return shlex.join(words).replace("$", "$$").replace("#", r"\#")


def provenance(
    findings: Findings, figures: Sequence[PaperFigure], flags: Sequence[str], points_hash: str
) -> dict[str, Any]:
    """Returns the origin of the numbers in types of JSON, without the hashes of the files.

    Args:
        findings: Source and fits, from `published_findings`.
        figures: The figures.
        flags: Flags of the command.
        points_hash: SHA-256 of the points as they were read, as `analysis forecast` states it.
    """
    source = findings.source
    points, path = source.points, Path(source.name)
    name = path.resolve().name
    facts: dict[str, Any] = {
        "source": {"name": name} | ({"sha256": sha256(path.read_bytes())} if path.is_file() else {}),
        "points": {"count": len(points), "sha256": points_hash},
        "convention": points.convention,
        "loss_unit": points.loss_unit,
        "notes": list(points.notes),
        "options": list(flags),
        "fits": {law: _fit(fit.to_json()) for law, fit in findings.fits.items()},
        "failures": findings.failures,
        "figures": {figure.name: _figure(figure) for figure in figures},
        "code": code_commit(),
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
    }
    if source.store is not None and source.store.damaged:
        facts["damaged"] = dict(sorted(source.store.damaged.items()))
    return dict(json_ready(published_texts(facts, str(source.name), name)))


def published_texts(value: Any, path: str, name: str) -> Any:
    """Returns a value in which no text has the path of the source or an absolute path.

    Args:
        value: A value in types of JSON.
        path: Path of the source, as given.
        name: Its name.
    """
    if isinstance(value, dict):
        return {published_texts(key, path, name): published_texts(item, path, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [published_texts(item, path, name) for item in value]
    return without_folders(value.replace(path, name)) if isinstance(value, str) else value


def _fit(entry: dict[str, Any]) -> dict[str, Any]:
    """A fit as `fit --json` writes it, without what the top of the file has, and without profiles."""
    return {key: value for key, value in entry.items() if key not in ("source", "profile", "left_out")}


def _figure(figure: PaperFigure) -> dict[str, Any]:
    if figure.error:
        return {"error": figure.error}
    return {"alt_text": figure.alt_text, "commands": dict(figure.commands)}


def sha256(data: bytes) -> str:
    """Returns the SHA-256 of data."""
    return hashlib.sha256(data).hexdigest()


def provenance_file(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Returns provenance.json.

    Args:
        facts: Result of `provenance`.
        files: Content of each file by its path in the folder of the paper.
    """
    hashes = {name: sha256(data) for name, data in sorted(files.items())}
    return (json.dumps({**facts, "files": hashes}, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
