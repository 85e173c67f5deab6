"""`python -m sweeps anonymize`: makes a store anonymous, and names the files that still have private names."""

from __future__ import annotations

import argparse
import sys

from scaling.config.exit_status import DONE, FAILED
from scaling.config.text import printable
from sweeps.commands import options


def add(commands: options.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `anonymize`."""
    text = "make a store anonymous: rewrite names of machines and users and absolute paths in what it has"
    parser = commands.add_parser("anonymize", help=text, description=text)
    parser.add_argument("--store", metavar="DIR", required=True, help="store: a folder, s3://... or gs://...")


def run(args: argparse.Namespace) -> int:
    """Rewrites the files of the store; fails if a file still has a private name."""
    from scaling.data.anonymize import anonymize
    from scaling.store.open import open_store

    changes = anonymize(open_store(args.store))
    print(f"rewritten: {len(changes.rewritten):,} files; the store is anonymous from now on")
    for path, reason in changes.left.items():
        print(printable(f"left: {path}: {reason}"), file=sys.stderr)
    return FAILED if changes.left else DONE
