"""The flag --anonymous of the commands that write to a store. Standard library only."""

from __future__ import annotations

import argparse

ANONYMOUS_HELP = (
    "make the store anonymous, from now on and for all commands: no names of machines and users, no absolute paths"
)


def add_anonymous_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag --anonymous.

    Args:
        parser: Parser of a command that writes to a store.
    """
    parser.add_argument("--anonymous", action="store_true", help=ANONYMOUS_HELP)
