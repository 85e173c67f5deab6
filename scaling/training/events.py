"""Progress events of training, printed as JSON lines or as text.

Events are dicts with `event` and `run_id`: start (steps, from), step (step, loss), end (status, loss, l0, error),
waits (why: another process trains the run), again (why: the run is tried again), slow (why: a step takes long; step,
seconds, expected, file with stacks), waiting.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.store.record import Record

EventSink = Callable[[dict[str, Any]], None]
LINE_SECONDS = 10.0  # between progress lines when standard error is not a terminal


def end_event(record: Record) -> dict[str, Any]:
    """Returns the "end" event of a run from its final record."""
    loss = {"loss": record.final["loss"]} if "loss" in record.final else {}
    error = {"error": record.about["error"]} if "error" in record.about else {}
    l0 = {"l0": record.final["val_l0"]} if "val_l0" in record.final else {}
    return {"event": "end", "run_id": record.run_id, "status": record.status, **loss, **l0, **error}


def event_reporter(*configs: RunConfig, events: bool, on_broken_pipe: Callable[[], None]) -> EventSink:
    """Returns a function that prints the events of a run, or of the runs of a pack.

    Args:
        *configs: The runs.
        events: Print JSON lines on standard output instead of text on standard error.
        on_broken_pipe: Called when the reader of the JSON lines has closed the pipe.
    """
    if not events:
        return _run_reporter(configs[0]) if len(configs) == 1 else _pack_reporter(configs)

    def emit(event: dict[str, Any]) -> None:
        try:
            print(json.dumps(event), flush=True)
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
            on_broken_pipe()

    return emit


def _run_reporter(config: RunConfig) -> EventSink:
    terminal = sys.stderr.isatty()
    started_at, start, printed_at = time.monotonic(), 0, 0.0

    def emit(event: dict[str, Any]) -> None:
        nonlocal started_at, start, printed_at
        if event["event"] == "start":
            started_at, start = time.monotonic(), event["from"]
            where = f" from step {start}" if start else ""
            print(f"run {event['run_id'][:12]}: {event['steps']} steps{where}", file=sys.stderr)
        elif event["event"] == "step":
            current = time.monotonic()
            if not terminal and current - printed_at < LINE_SECONDS:
                return
            printed_at = current
            tokens_seen = config.sequences(event["step"]) * config.data.length
            tokens = (tokens_seen - config.sequences(start) * config.data.length) / max(current - started_at, 1e-9)
            left = (config.tokens - tokens_seen) / tokens if tokens else 0.0
            where = f"step {event['step']}/{config.steps}  loss {event['loss']:.4f}"
            line = f"{where}  {tokens:,.0f} tokens/s  {left:.0f} s left"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        elif event["event"] == "waiting":
            return
        elif event["event"] in ("waits", "again"):
            print(event["why"], file=sys.stderr)
        elif event["event"] == "slow":
            _print_slow_step(event, terminal)
        else:
            _print_end(event, terminal)

    return emit


def _pack_reporter(configs: Sequence[RunConfig]) -> EventSink:
    """Prints one progress line for all runs of a pack, and one for each as it ends."""
    terminal, by_id = sys.stderr.isatty(), {run_id(config): config for config in configs}
    steps: dict[str, int] = {}
    losses: dict[str, float] = {}
    started_at, printed_at, done = time.monotonic(), 0.0, 0

    def emit(event: dict[str, Any]) -> None:
        nonlocal started_at, printed_at, done
        name, current = event["run_id"], time.monotonic()
        if event["event"] == "start":
            started_at, steps[name] = current, event["from"]
            where = f" from step {event['from']}" if event["from"] else ""
            print(f"run {name[:12]}: {event['steps']} steps{where}, in a pack of {len(by_id)}", file=sys.stderr)
        elif event["event"] == "step":
            config = by_id[name]
            done += (config.sequences(event["step"]) - config.sequences(steps[name])) * config.data.length
            steps[name], losses[name] = event["step"], event["loss"]
            if len(losses) < len(steps) or (not terminal and current - printed_at < LINE_SECONDS):
                return
            printed_at = current
            where = f"step {min(steps.values())}/{max(by_id[run].steps for run in steps)}"
            line = f"{len(steps)} runs  {where}  loss {min(losses.values()):.4f} to {max(losses.values()):.4f}"
            line += f"  {done / max(current - started_at, 1e-9):,.0f} tokens/s"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        elif event["event"] == "waiting":
            return
        elif event["event"] == "slow":
            _print_slow_step(event, terminal)
        elif event["event"] in ("waits", "again"):
            steps.pop(name, None), losses.pop(name, None)
            print(event["why"], file=sys.stderr)
        else:
            steps.pop(name, None), losses.pop(name, None)
            _print_end(event, terminal)

    return emit


def _print_slow_step(event: dict[str, Any], terminal: bool) -> None:
    start = chr(10) if terminal else ""
    print(f"{start}run {event['run_id'][:12]}: {event['why']}; stacks in {event['file']}", file=sys.stderr)


def _print_end(event: dict[str, Any], terminal: bool) -> None:
    loss = f", held-out loss {event['loss']:.4f} nats per token" if "loss" in event else ""
    if "l0" in event:
        loss = f", {event['loss']:.4f} of the held-out variance not explained, L0 {event['l0']:.1f}"
    reason = f": {event['error']}" if "error" in event else ""
    print(f"{chr(10) if terminal else ''}run {event['run_id'][:12]}: {event['status']}{loss}{reason}", file=sys.stderr)
