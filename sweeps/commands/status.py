"""`python -m sweeps status NAME`: shows the states, losses, errors and cost of a sweep's runs."""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from typing import Any

from scaling.config.exit_status import DONE
from scaling.store.damaged import print_damaged
from scaling.store.open import open_store
from sweeps.commands import options
from sweeps.errors import SweepError


def add(commands: options.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `status`."""
    parser = options.add_sweep_command(commands, "status", "show the states, losses, errors and cost of a sweep")
    options.add_json_option(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page that refreshes itself")
    parser.add_argument(
        "--watch", type=float, nargs="?", const=5.0, metavar="SECONDS", help="update at this interval (default 5)"
    )
    options.add_slice_options(parser)
    options.add_mfu_option(parser)


def run(args: argparse.Namespace) -> int:
    """Shows the status once or repeatedly, as text, JSON or a page."""
    from sweeps.definitions import sweep_name
    from sweeps.format import terminal_size
    from sweeps.interface.status import status
    from sweeps.monitoring.terminal import as_text
    from sweeps.monitoring.watch import watch

    if args.watch is not None and (args.json or not 0.1 <= args.watch < 1e6):
        raise SweepError(f"--watch {args.watch:g}: must be 0.1 seconds or more, without --json")
    store, priced, name = open_store(args.store), options.requested_slice(args), sweep_name(*args.names)
    cache: dict[str, Any] = {}

    def read() -> dict[str, Any]:
        return status(name, store, priced=priced, mfu=args.mfu, cache=cache if args.watch else None).data

    def write(result: dict[str, Any]) -> Path:
        from sweeps.monitoring.page import write_page

        return write_page(args.html, store, result, every=args.watch)

    if args.watch is not None:
        return watch(read, args.watch, write if args.html else None)
    gc.disable()  # records have no reference cycles, and the process ends soon
    result = read()
    if args.html:
        print(write(result))
    print_damaged(store)
    if args.json:
        print(json.dumps(result, indent=1, allow_nan=False))
    elif not args.html:
        print(as_text(result, terminal_size()[0]))
    return DONE
