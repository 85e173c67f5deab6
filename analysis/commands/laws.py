"""python -m analysis laws: every law there is, with its form and where it comes from."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from analysis.commands import options

if TYPE_CHECKING:
    from analysis.laws import Law


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    laws = commands.add_parser("laws", help="the laws there are: form, inputs, parameters, source")
    laws.add_argument("name", metavar="LAW", nargs="?", help="one law, or your own FILE.py:FUNCTION (all)")
    laws.add_argument("--json", action="store_true", help="as JSON, on standard output")


def run(given: argparse.Namespace) -> int:
    from analysis import laws

    if given.name in laws.APPROACHES:
        known: dict[str, Law] = {}
    else:
        known = {given.name: laws.find(given.name)} if given.name else laws.LAWS
    said = [entry(name, law) for name, law in known.items()]
    said += [
        {"name": name, "form": what, "source": what.split(",")[0]}
        for name, what in laws.APPROACHES.items()
        if given.name in (None, name)
    ]
    if given.json:
        json.dump(said, sys.stdout, indent=1, ensure_ascii=False)
        print()
        return options.GOOD
    _show(said)
    return options.GOOD


def entry(name: str, law: Law) -> dict[str, Any]:
    """A law as JSON has it."""
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
    }


def _show(said: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(one["name"]) for one in said)
    for one in said:
        console.print(f"{one['name']:<{width}}  {one['form']}", markup=False)
        if "parameters" in one:
            units = [f"{letter} in {unit}" for letter, unit in one["units"].items() if unit]
            told = [f"parameters {', '.join(one['parameters'])}", ", ".join(units), one["source"]]
            told = told if len(said) == 1 else [told[0], told[2]]
            console.print(f"{'':<{width}}  {'; '.join(filter(None, told))}", style="dim", markup=False)
