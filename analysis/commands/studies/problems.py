"""python -m analysis problems: published data sets, by the authors' procedures and by our defaults."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands.output import add_json_option, print_text, write_result
from analysis.errors import DataError, FitError
from scaling.config.exit_status import DONE, FAILED

if TYPE_CHECKING:
    from analysis.studies.published.manifest import DataSet
    from analysis.studies.published.outcomes import Outcome

DESCRIPTION = (
    "Fit published data sets by the procedures of their authors and by the defaults, and compare the published "
    "figures. The data are not part of the project: give their folder. Exit status: 0 done, 1 a file is not the listed "
    "one or a fit is not possible, 2 bad input."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser("problems", help="published data sets and figures, compared", description=DESCRIPTION)
    parser.add_argument("--data", metavar="DIR", help="folder with a sub-folder per data set (default: SCALING_DATA)")
    parser.add_argument("--only", metavar="NAME,..", help="data sets to fit (default: all that are at hand)")
    parser.add_argument("--list", action="store_true", help="list the data sets and their files, without fits")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from analysis.studies.published.manifest import CHANGED, MISSING, PRESENT, data_folder

    only, listing = arguments.only, arguments.list
    sets = _chosen(only)
    data = None if listing and not arguments.data else data_folder(arguments.data)
    states = {entry.name: entry.state(data) if data else "not looked for" for entry in sets}
    lines = [line for entry in sets for line in (entry.problems(data) if data else [])]
    if only and any(state == MISSING for state in states.values()) and not listing:
        raise DataError(lines[0])
    for line in lines:
        print_text(line, sys.stderr)
    status = FAILED if CHANGED in states.values() else DONE
    entries = [{**entry.to_json(), "state": states[entry.name]} for entry in sets]
    if listing:
        write_result({"data_sets": entries}, arguments, lambda: print_text(_describe(sets, states)))
        return status
    from analysis.studies.published.outcomes import describe_outcomes  # here, so that --list needs no SciPy
    from analysis.studies.published.problems import PROBLEMS

    ready = [entry.name for entry in sets if states[entry.name] == PRESENT and entry.name in PROBLEMS]
    if not ready:
        raise DataError(f"{data}: no data set of these to fit: {', '.join(states)} (--list shows the files)")
    assert data is not None
    outcomes = _run(ready, data)
    status = status if len(outcomes) == len(ready) else FAILED
    result = {"data_sets": entries, "problems": [outcome.to_json() for outcome in outcomes]}
    write_result(result, arguments, lambda: print_text(describe_outcomes(outcomes)))
    return status


def _chosen(only: str | None) -> list[DataSet]:
    """The data sets that are named, or all."""
    from analysis.studies.published.manifest import published_data_sets  # here, so that --help stays fast

    sets = published_data_sets()
    names = only.split(",") if only else list(sets)
    unknown = [name for name in names if name not in sets]
    if unknown:
        raise DataError(f"--only {unknown[0]}: no such data set: allowed are {', '.join(sets)}")
    return [sets[name] for name in names]


def _run(names: list[str], data: Path) -> list[Outcome]:
    """Runs the problems of data sets, each with a line on standard error; without those that cannot be fitted."""
    from analysis.format import plural
    from analysis.studies.published.problems import run_problem

    outcomes = []
    for name in names:
        try:
            outcome = run_problem(name, data)
        except FitError as error:
            print_text(f"{name}: {error}", sys.stderr)
            continue
        print_text(f"{name}: {plural(len(outcome.comparisons), 'figure')}, {outcome.seconds:.0f} s", sys.stderr)
        outcomes.append(outcome)
    return outcomes


def _describe(sets: list[DataSet], states: dict[str, str]) -> str:
    from analysis.format import aligned

    rows: list[tuple[str, ...]] = [("name", "files", "state", "licence", "publication", "origin")]
    for entry in sets:
        origin = f"{entry.origin} {entry.commit[:12]}"
        rows.append((entry.name, str(len(entry.files)), states[entry.name], entry.licence, entry.paper, origin))
    return aligned(rows)
