"""What a training process says of itself: JSON lines for a program, or lines for a person."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from scaling.config import RunConfig

LINE_SECONDS = 10.0  # between lines where nobody watches a terminal


def speaker(config: RunConfig, *, events: bool, unheard: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """A function that takes the trainer's events; `unheard` is called where their reader has gone."""
    if not events:
        return _person(config)

    def tell(event: dict[str, Any]) -> None:
        try:
            print(json.dumps(event), flush=True)
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
            unheard()

    return tell


def _person(config: RunConfig) -> Callable[[dict[str, Any]], None]:
    terminal = sys.stderr.isatty()
    begun, start, shown = time.monotonic(), 0, 0.0

    def tell(event: dict[str, Any]) -> None:
        nonlocal begun, start, shown
        if event["event"] == "start":
            begun, start = time.monotonic(), event["from"]
            where = f" from step {start}" if start else ""
            print(f"run {event['run_id'][:12]}: {event['steps']} steps{where}", file=sys.stderr)
        elif event["event"] == "step":
            now = time.monotonic()
            if not terminal and now - shown < LINE_SECONDS:
                return
            shown = now
            seen = config.sequences(event["step"]) * config.data.length
            tokens = (seen - config.sequences(start) * config.data.length) / max(now - begun, 1e-9)
            left = (config.tokens - seen) / tokens if tokens else 0.0
            where = f"step {event['step']}/{config.steps}  loss {event['loss']:.4f}"
            line = f"{where}  {tokens:,.0f} tokens/s  {left:.0f} s left"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        else:
            loss = f", held-out loss {event['loss']:.4f} nats a token" if "loss" in event else ""
            why = f": {event['error']}" if "error" in event else ""
            print(
                f"{chr(10) if terminal else ''}run {event['run_id'][:12]}: {event['status']}{loss}{why}",
                file=sys.stderr,
            )

    return tell
