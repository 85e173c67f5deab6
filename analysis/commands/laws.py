"""python -m analysis laws: lists the built-in laws with their form and source."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from analysis.commands.output import text_console
from scaling.config.exit_status import DONE

if TYPE_CHECKING:
    from analysis.laws import Law


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    laws = commands.add_parser("laws", help="list the built-in laws: form, inputs, parameters, source")
    laws.add_argument(
        "name",
        metavar="LAW",
        nargs="?",
        help="name of a law, or your own FILE.py:FUNCTION or package.module:FUNCTION (default: all)",
    )
    laws.add_argument("--json", action="store_true", help="write JSON to standard output")


def run(arguments: argparse.Namespace) -> int:
    """Prints one law or all of them; returns the exit status."""
    from analysis import laws  # here, so that --help stays fast

    if arguments.name in laws.APPROACHES:
        entries = [_approach_entry(arguments.name, laws.APPROACHES[arguments.name])]
    elif arguments.name:
        entries = [law_entry(arguments.name, laws.find(arguments.name))]
    else:
        entries = [law_entry(name, law) for name, law in laws.LAWS.items()]
        entries += [_approach_entry(name, description) for name, description in laws.APPROACHES.items()]
    if arguments.json:
        json.dump(entries, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        _print_laws(entries)
    return DONE


def law_entry(name: str, law: Law) -> dict[str, Any]:
    """Returns the entry of a law in the output of `--json`.

    Args:
        name: Its name on the command line.
        law: The law.
    """
    from analysis.laws.law import formula

    return {
        "name": name,
        "form": formula(law),
        "inputs": list(law.inputs),
        "output": law.output,
        "parameters": list(law.parameters),
        "units": law.units,
        "objective": law.objective,
        "source": law.source,
        "latex": list(law.latex),
        "published": [{"source": each.source, "values": each.values} for each in law.published],
    }


def _approach_entry(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "form": description, "source": description.split(",")[0]}


def _print_laws(entries: list[dict[str, Any]]) -> None:
    console = text_console()
    width = max(len(entry["name"]) for entry in entries)
    for entry in entries:
        console.print(f"{entry['name']:<{width}}  {entry['form']}")
        if "parameters" not in entry:
            continue
        parts = [f"parameters {', '.join(entry['parameters'])}", entry["source"]]
        if len(entries) == 1:
            parts.insert(1, ", ".join(f"{letter} in {unit}" for letter, unit in entry["units"].items() if unit))
        console.print(f"{'':<{width}}  {'; '.join(filter(None, parts))}", style="dim")
        for published in entry["published"] if len(entries) == 1 else ():
            values = ", ".join(f"{name} = {value:.10g}" for name, value in published["values"].items())
            console.print(f"{'':<{width}}  {published['source']}: {values}", style="dim")
