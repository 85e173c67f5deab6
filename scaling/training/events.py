"""What a training process says of itself: JSON lines for a program, or lines for a person."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from scaling.config.run import RunConfig, run_id

LINE_SECONDS = 10.0  # between lines where nobody watches a terminal


def speaker(*configs: RunConfig, events: bool, unheard: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """A function that takes the events of a run, or of a pack; `unheard` is called where their reader has gone."""
    if not events:
        return _person(configs[0]) if len(configs) == 1 else _people(configs)

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
        elif event["event"] == "waiting":
            return
        elif event["event"] in ("waits", "again"):
            print(event["why"], file=sys.stderr)
        else:
            _say_end(event, terminal)

    return tell


def _people(configs: Sequence[RunConfig]) -> Callable[[dict[str, Any]], None]:
    """One line for all runs of a pack, and one for each as it ends."""
    terminal, by_id = sys.stderr.isatty(), {run_id(config): config for config in configs}
    steps: dict[str, int] = {}
    losses: dict[str, float] = {}
    begun, shown, done = time.monotonic(), 0.0, 0

    def tell(event: dict[str, Any]) -> None:
        nonlocal begun, shown, done
        name, now = event["run_id"], time.monotonic()
        if event["event"] == "start":
            begun, steps[name] = now, event["from"]
            where = f" from step {event['from']}" if event["from"] else ""
            print(f"run {name[:12]}: {event['steps']} steps{where}, in a pack of {len(by_id)}", file=sys.stderr)
        elif event["event"] == "step":
            config = by_id[name]
            done += (config.sequences(event["step"]) - config.sequences(steps[name])) * config.data.length
            steps[name], losses[name] = event["step"], event["loss"]
            if len(losses) < len(steps) or (not terminal and now - shown < LINE_SECONDS):
                return
            shown = now
            where = f"step {min(steps.values())}/{max(by_id[run].steps for run in steps)}"
            line = f"{len(steps)} runs  {where}  loss {min(losses.values()):.4f} to {max(losses.values()):.4f}"
            line += f"  {done / max(now - begun, 1e-9):,.0f} tokens/s"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        elif event["event"] == "waiting":
            return
        elif event["event"] in ("waits", "again"):
            steps.pop(name, None), losses.pop(name, None)
            print(event["why"], file=sys.stderr)
        else:
            steps.pop(name, None), losses.pop(name, None)
            _say_end(event, terminal)

    return tell


def _say_end(event: dict[str, Any], terminal: bool) -> None:
    loss = f", held-out loss {event['loss']:.4f} nats a token" if "loss" in event else ""
    why = f": {event['error']}" if "error" in event else ""
    print(f"{chr(10) if terminal else ''}run {event['run_id'][:12]}: {event['status']}{loss}{why}", file=sys.stderr)
