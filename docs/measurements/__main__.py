"""`python -m docs.measurements [NAME]`: measures one subject and writes its results; without a name, lists them."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from docs.measurements import SUBJECTS
from docs.measurements.readme import update_readme
from docs.measurements.results import PAGES, Results, write_results
from docs.measurements.session import CommandFailedError, Session
from tests.support.commands import PUBLISHED, ROOT


def measure(name: str, session: Session) -> Results:
    """Runs the commands of a measurement and returns its results."""
    return importlib.import_module(f"docs.measurements.{SUBJECTS[name]}").measure(session)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.measurements", description="Measure a subject of the pages.")
    parser.add_argument("name", nargs="?", choices=SUBJECTS, metavar="NAME", help="a subject; without one, list them")
    parser.add_argument("--stores", type=Path, default=ROOT / "store", help="folder for what is trained (store/)")
    args = parser.parse_args(arguments)
    if args.name is None:
        for name, module in SUBJECTS.items():
            text = importlib.import_module(f"docs.measurements.{module}").__doc__ or ""
            print(f"make measure-{name:24}{text.splitlines()[0]}")
        return 0
    session = Session(args.stores.absolute() / args.name, PUBLISHED.absolute(), PAGES / "figures")
    try:
        results = measure(args.name, session)
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(write_results(args.name, results, session.about()).relative_to(ROOT))
    if args.name == "published-fits":
        update_readme()
    return 0


if __name__ == "__main__":
    sys.exit(main())
