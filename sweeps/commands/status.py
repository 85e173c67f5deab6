"""sweeps.commands.status."""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from typing import Any

from scaling.store.open import open_store
from sweeps.commands.options import slice_of
from sweeps.errors import SweepError


def run_status(args: argparse.Namespace) -> int:
    """`status`: what is done, under way and left, once or again and again; as text, JSON or a page."""
    from sweeps.format import terminal_size
    from sweeps.status.status import status
    from sweeps.status.terminal import as_text
    from sweeps.status.watch import watch

    if args.watch is not None and (args.json or not 0.1 <= args.watch < 1e6):
        raise SweepError(f"--watch {args.watch:g}: seconds, 0.1 or more, and without --json")
    store, on = open_store(args.store), slice_of(args)
    cache: dict[str, Any] = {}

    def look() -> dict[str, Any]:
        store.fetch_results()
        return status(store, args.name, on=on, mfu=args.mfu, cache=cache if args.watch else None)

    def write(found: dict[str, Any]) -> Path:
        from sweeps.status.page import write_page

        return write_page(args.html, store, found, every=args.watch)

    if args.watch is not None:
        return watch(look, args.watch, write if args.html else None)
    gc.disable()  # ten thousand small records hold no cycles, and we end soon
    found = look()
    if args.html:
        print(write(found))
    if args.json:
        print(json.dumps(found, indent=1, allow_nan=False))
    elif not args.html:
        print(as_text(found, terminal_size()[0]))
    return 0
