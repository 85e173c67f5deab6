"""What a command did on damaged files: one of the allowed outcomes, or a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config.os_errors import open_file
from tests.damage.process import Done

UNCHANGED, LEFT_OUT, ABSENT, REPAIRED, REFUSED, AS_GIVEN = (
    "unchanged", "left out", "absent", "repaired", "refused", "as given")  # fmt: skip
ALLOWED = (UNCHANGED, LEFT_OUT, ABSENT, REPAIRED, REFUSED, AS_GIVEN)
TRACEBACK, SILENT, HANG, NOISE, LOST, OUTSIDE, STOPS, STATUS, UNNAMED = (
    "traceback", "silent change", "hang", "noise", "lost", "outside", "stops the rest", "status", "unnamed",
)  # fmt: skip
SUMMARY = ("skipping ", "sweep ", "for the errors: ")  # lines of a launch that count its runs
FAULTS = (TRACEBACK, SILENT, HANG, NOISE, LOST, OUTSIDE, STOPS, STATUS, UNNAMED)
VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:?\d\d| UTC|Z)?|\d\d:\d\d:\d\d|\b[0-9a-f]{40}\b\+?"
    r"|\b\d+(\.\d+)? ?(seconds|sec|min|ms|s)\b|of [\d.]+ GB"
)
TEXT_SUFFIXES = {".json", ".csv", ".svg", ".html", ".txt", ".md"}
ORIGINS = (".about.json", "provenance.json")  # of results, with hashes of files that may name what was left out
RUN_ID = re.compile(r"\b[0-9a-f]{12}")
PROGRESS = "prepared corpus "
DAMAGE_WORDS = re.compile(r"damaged|left out|problem and what to do", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """An outcome: its kind (of ALLOWED or FAULTS), and what shows it."""

    kind: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS


@dataclass(frozen=True)
class Observation:
    """What a command left: exit status, lines of standard error, and its results without times and paths."""

    status: int | None
    errors: tuple[str, ...]
    results: Mapping[str, str]


def observe(done: Done, work: Path, runs: Collection[str] = ()) -> Observation:
    """Returns what a command left, with the folder written as WORK.

    Args:
        done: The command.
        work: The folder.
        runs: Runs whose records are the results, not what was printed.
    """
    if runs:
        errors = tuple(without_times(done.stderr, work).splitlines())
        return Observation(done.status, errors, {"": "", "records": records(work / "store" / "runs", runs)})
    results = {"": without_times(done.stdout, work)}
    for path in sorted((work / "out").rglob("*")):
        if path.is_file() and path.suffix in TEXT_SUFFIXES and not path.name.endswith(ORIGINS):
            results[path.relative_to(work).as_posix()] = without_times(path.read_text(errors="replace"), work)
    return Observation(done.status, tuple(without_times(done.stderr, work).splitlines()), results)


def records(folder: Path, runs: Collection[str]) -> str:
    """Returns the facts of the records of runs that are the same each time a run is trained."""
    facts = []
    for run in runs:
        try:
            with open_file(folder / run / "record.json") as file:  # it may be a pipe
                data = json.load(file)
            values = [data[name] for name in ("run_id", "config", "status", "params", "final")]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            values = [type(error).__name__]
        facts.append({"run_id": run, "facts": values})
    return json.dumps(facts, indent=1)


def without_times(text: str, work: Path) -> str:
    return VOLATILE.sub("TIME", text.replace(str(work), "WORK"))


def comparable(results: Mapping[str, str], run: str | None, rows: bool) -> dict[str, str]:
    """Returns results without what they say of a run and of damaged files; with `rows` only what they say of others."""
    return {name: comparable_text(text, run, rows) for name, text in results.items()}


def comparable_text(text: str, run: str | None, rows: bool) -> str:
    if text.lstrip().lower().startswith("<!doctype html") and not rows:
        text = re.sub(r"<[^>]*>|\n\s*(?=\n)", "", text)
    try:
        data = json.loads(text)
    except ValueError:
        lines = [
            line
            for line in text.splitlines()
            if line.strip() and not (DAMAGE_WORDS.search(line) or (run and run[:12] in line))
        ]
        return "\n".join(line for line in lines if not rows or RUN_ID.search(line))
    return json.dumps(_rows_of(data, run) if rows else _without_damaged(data, run), sort_keys=True)


def _without_damaged(data: Any, run: str | None) -> Any:
    if isinstance(data, dict):
        return {name: _without_damaged(value, run) for name, value in data.items() if name != "damaged"}
    if not isinstance(data, list):
        return data
    kept = [value for value in data if not (isinstance(value, dict) and run and value.get("run_id") == run)]
    kept = [value for value in kept if not (isinstance(value, str) and DAMAGE_WORDS.search(value))]
    return [_without_damaged(value, run) for value in kept]


def _rows_of(data: Any, run: str | None) -> list[Any]:
    """Returns the objects with a `run_id` other than `run`."""
    if isinstance(data, dict):
        if "run_id" in data:
            return [] if data["run_id"] == run else [data]
        return [row for value in data.values() for row in _rows_of(value, run)]
    return [row for value in data for row in _rows_of(value, run)] if isinstance(data, list) else []


def names(line: str, words: Collection[str]) -> bool:
    """Returns whether a line names a damaged file, by one of several words."""
    return any(word in line for word in words)


def judge_errors(
    observation: Observation, usual: Collection[str], words: Collection[str]
) -> tuple[Outcome | None, tuple[str, ...]]:
    """Returns the fault that standard error shows, if any, and the lines that are not there without the damage.

    Args:
        observation: The command on the damaged files.
        usual: Lines of standard error without the damage.
        words: Names of the damaged file.
    """
    text = "\n".join(observation.errors)
    if observation.status is None:
        return Outcome(HANG), ()
    if "Traceback (most recent call last)" in text or observation.status < 0:
        return Outcome(TRACEBACK, text[-1500:] or f"signal {-observation.status}"), ()
    extra = tuple(
        line for line in observation.errors if line.strip() and line not in usual and not line.startswith(PROGRESS)
    )
    of_files = [line for line in extra if not line.startswith(SUMMARY)]
    if observation.status == 2 and len(of_files) > 1 and not all(names(line, words) for line in of_files):
        return Outcome(NOISE, "\n".join(extra)[-800:]), extra
    return None, extra
