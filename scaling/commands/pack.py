"""`train --pack SIZE`: runs of one shape trained together, as many packs as it takes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from scaling.commands import evaluate
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError

STOPPED = 75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", type=int, metavar="SIZE", help="train runs of one shape together, SIZE at a time")


def run(
    args: argparse.Namespace, configs: Sequence[RunConfig], placed: Placement, asked: list[int],
    alone: Callable[[list[RunConfig]], int],
) -> int:  # fmt: skip
    """Trains each pack in turn, then by `alone` what is left by itself or to another process; the worst exit status."""
    if args.pack < 1:
        raise ConfigError(f"--pack {args.pack}: must be 1 or more")
    from scaling.training.packs.program import packs

    worst, rest = 0, list[RunConfig]()
    for group in packs(configs, args.pack, placed):
        status, left = (0, group) if len(group) == 1 else together(args, group, placed, asked)
        rest += left
        if status == STOPPED:
            return STOPPED
        worst = max(worst, status)
    status = alone(rest) if rest else 0
    if status == STOPPED:
        return STOPPED
    return max(worst, min(status, 1) if len(configs) > 1 else status)


def together(
    args: argparse.Namespace, group: list[RunConfig], placed: Placement, asked: list[int]
) -> tuple[int, list[RunConfig]]:
    """Trains one pack: 75 where it was stopped, 1 where a run failed; and the runs that another process holds."""
    from scaling.store.open import open_store
    from scaling.training.events import speaker
    from scaling.training.packs.loop import train_pack

    tell = speaker(*group, events=args.events, unheard=lambda: asked.append(signal.SIGTERM))
    left = {run_id(config) for config in group}

    def say(event: dict[str, Any]) -> None:
        if event["event"] == "end":
            left.discard(event["run_id"])
            if event["status"] == "failed" and args.events:  # a person has been told
                print(f"scaling train: run {event['run_id'][:12]} failed: {event['error']}", file=sys.stderr)
        tell(event)

    try:
        records = train_pack(
            group, open_store(args.store), placed, sweep=args.sweep, say=say, stop=lambda: bool(asked), exam=args.exam
        )
    except ConfigError:
        raise
    except Exception as error:  # the next pack goes on; the records keep the reason
        line = " ".join(str(error).split()) or type(error).__name__
        line += ": try a smaller --pack" if "RESOURCE_EXHAUSTED" in line else ""
        for name in sorted(left):  # those that it died before
            say({"event": "end", "run_id": name, "status": "failed", "error": line})
        if os.environ.get("SCALING_TRACEBACK"):
            raise
        return 1, []
    statuses, known = {record.status for record in records}, {record.run_id for record in records}
    held = [config for config in group if run_id(config) not in known]
    if "stopped" in statuses:
        return STOPPED, held
    wrong = 0 if args.exam is None else evaluate.after_training(args.exam, open_store(args.store), known)
    return max(wrong, int("failed" in statuses)), held
