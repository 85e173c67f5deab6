"""Events of runs, as engines report them, and the record of a run whose process died.

Events of the trainer, one dict each:
    {"event": "start", "run_id", "steps", "from"}         from > 0: resumed, or branched from a shared prefix
    {"event": "step", "run_id", "step", "loss"}
    {"event": "end", "run_id", "status", "loss"?, "error"?}
Events of an engine:
    {"event": "died", "run_id", "how", "log", "attempt", "attempts"}   its process ended without reporting an error
    {"event": "again", "why"}                                          the trainer stopped by itself and was restarted
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.counting.counts import run_flops, run_parameters
from scaling.store.record import Record

LOG_LINES = 5  # last log lines of a process that died: enough for the end of a Python traceback
LOG_BYTES = 8192  # bytes at the end of a log in which these lines are searched

Event = dict[str, Any]


def parse_event(line: str | bytes) -> Event | None:
    """Returns the event in a line of a trainer's standard output; None for other output, such as a library's warning.

    Args:
        line: The line.
    """
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def end_event(record: Record) -> Event:
    """Returns the "end" event of a run from its record."""
    event: Event = {"event": "end", "run_id": record.run_id, "status": record.status}
    if "loss" in record.final:
        event["loss"] = record.final["loss"]
    if "error" in record.about:
        event["error"] = record.about["error"]
    return event


def failure_event(name: str, error: str) -> Event:
    """Returns the "end" event of a run that failed.

    Args:
        name: Its run_id.
        error: Why it failed.
    """
    return {"event": "end", "run_id": name, "status": "failed", "error": error}


def failed_record(record: Record | None, config: RunConfig, sweep: str, error: str, log: Sequence[str]) -> Record:
    """Returns the record of a run whose process died in its last attempt.

    Args:
        record: Its record in the store; None without one.
        config: Its config.
        sweep: Name of its sweep, for a run without a record.
        error: Why it failed.
        log: Last log lines of its process.
    """
    if record is None:
        record = Record(
            run_id=run_id(config), config=config, status="failed", sweep=sweep,
            params=run_parameters(config), flops=run_flops(config),
        )  # fmt: skip
    about = {**record.about, "error": error, **({"log": list(log)} if log else {})}
    return dataclasses.replace(record, status="failed", about=about)


def with_last_line(error: str, log: Sequence[str]) -> str:
    """Returns an error followed by the last line of a log, unless the error contains that line.

    Args:
        error: Why a run failed.
        log: Log lines of its process.
    """
    return error + "".join(f": {line}" for line in log[-1:] if line not in error)


def last_lines(text: str) -> list[str]:
    """Returns the last LOG_LINES non-blank lines of a text."""
    return [line for line in text.splitlines() if line.strip()][-LOG_LINES:]


def log_tail(path: Path, start: int = 0) -> list[str]:
    """Returns the last lines of a log file; an empty list if the file does not exist.

    Args:
        path: The file.
        start: Offset in bytes at which the lines of the current process start.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - LOG_BYTES))
            return last_lines(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return []
