"""`train --pack SIZE`: runs of one shape trained together, as many packs as it takes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from scaling.config import ConfigError, Placement, RunConfig, run_id

STOPPED = 75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", type=int, metavar="SIZE", help="train runs of one shape together, SIZE at a time")


def run(
    args: argparse.Namespace, configs: Sequence[RunConfig], placed: Placement, asked: list[int],
    alone: Callable[[RunConfig], int],
) -> int:  # fmt: skip
    """Trains each pack in turn, and by `alone` what is left by itself; the worst exit status, as of runs in turn."""
    if args.pack < 1:
        raise ConfigError(f"--pack {args.pack}: must be 1 or more")
    from scaling.pack_program import packs

    worst = 0
    for group in packs(configs, args.pack, placed):
        status = alone(group[0]) if len(group) == 1 else together(args, group, placed, asked)
        if status == STOPPED:
            return STOPPED
        worst = max(worst, min(status, 1) if len(configs) > 1 else status)
    return worst


def together(args: argparse.Namespace, group: list[RunConfig], placed: Placement, asked: list[int]) -> int:
    """Trains one pack; 75 where it was stopped, 1 where a run failed."""
    from scaling.pack import train_pack
    from scaling.progress import speaker
    from scaling.record import Store

    tell = speaker(*group, events=args.events, unheard=lambda: asked.append(signal.SIGTERM))
    left = {run_id(config) for config in group}

    def say(event: dict[str, Any]) -> None:
        if event["event"] == "end":
            left.discard(event["run_id"])
            if event["status"] == "failed" and args.events:  # a person has been told
                print(f"scaling train: run {event['run_id'][:12]} failed: {event['error']}", file=sys.stderr)
        tell(event)

    try:
        records = train_pack(group, Store(args.store), placed, sweep=args.sweep, say=say, stop=lambda: bool(asked))
    except ConfigError:
        raise
    except Exception as error:  # the next pack goes on; the records keep the reason
        line = " ".join(str(error).split()) or type(error).__name__
        line += ": try a smaller --pack" if "RESOURCE_EXHAUSTED" in line else ""
        for name in sorted(left):  # those that it died before
            say({"event": "end", "run_id": name, "status": "failed", "error": line})
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        return 1
    statuses = {record.status for record in records}
    return STOPPED if "stopped" in statuses else int("failed" in statuses)
