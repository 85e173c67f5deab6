"""Output that several commands share: a result as text or as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from scaling.config.exit_status import DONE
from scaling.config.text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 130  # columns of a table that goes to a file or a pipe


def add_json_option(command: Any) -> None:
    """Adds the flag --json."""
    command.add_argument("--json", metavar="FILE", help="write the result as JSON (- for standard output)")


def write_result(data: dict[str, Any], arguments: argparse.Namespace, show: Callable[[], None]) -> int:
    """Writes a result as JSON, prints it as text, or both; returns the exit status DONE.

    Args:
        data: The result, in types that JSON has. Damaged files of the store that were left out are added.
        arguments: Arguments of the command. `json` is the file for the JSON; "-" writes it to standard output instead
            of the text, None does not write it.
        show: Prints the text.
    """
    from scaling.store.files import write_json  # here, so that --help stays fast

    path: str | None = arguments.json
    data = with_damaged(data, vars(arguments).get("source"))
    if path == "-":
        print(json.dumps(data, indent=1, allow_nan=False))
        return DONE
    show()
    if path:
        write_json(Path(path), data)
        print_text(f"{path}: written", sys.stderr)
    return DONE


def with_damaged(data: dict[str, Any], source: object) -> dict[str, Any]:
    """Returns a result with the damaged files of its store that were left out as `damaged`, if there are any.

    Args:
        data: The result.
        source: The source of the command.
    """
    from analysis.data.record_cache import StoreSnapshot  # here, so that --help stays fast
    from scaling.store.damaged import damaged_files

    damaged = damaged_files(source) if isinstance(source, StoreSnapshot) else []
    return {**data, "damaged": damaged} if damaged else data


def text_console() -> Console:
    """Returns a console for results; its width is FILE_WIDTH if the output is no terminal."""
    from analysis.commands.console import ResultConsole  # here, so that --help stays fast

    return ResultConsole(width=None if sys.stdout.isatty() else FILE_WIDTH)


def print_text(text: object, stream: TextIO | None = None) -> None:
    """Prints a result without a console, with control characters escaped except line feeds.

    Args:
        text: One or several lines.
        stream: Where to print; None: standard output.
    """
    print(printable_lines(str(text)), file=stream)


@contextlib.contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar on standard error, if that is a terminal.

    Args:
        unit: What is counted, for example "fits".

    Yields:
        The function to call with the number done and the number in total.
    """
    from rich.console import Console  # here, so that --help stays fast
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
