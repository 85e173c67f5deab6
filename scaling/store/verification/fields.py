"""Types of the fields of a record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from scaling.config.validation import shown

MAX_DEPTH = 20  # of nested objects and lists in `about`
MAX_PID = 2**31 - 1  # of pid_t
MAX_NUMBER = 1e300
MAX_AMOUNT = 1e30  # in `about`: products of a few amounts stay finite
RECORD_FIELDS = (
    "run_id", "config", "status", "sweep", "params", "flops", "final", "evals", "about", "checksum",
)  # fmt: skip


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -MAX_NUMBER < value < MAX_NUMBER  # NaN is not either


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBER


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_AMOUNT


def _is_small_count(value: Any) -> bool:
    return _is_count(value) and value < MAX_AMOUNT


def _is_process(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_PID


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    return True


def _is_log(value: Any) -> bool:
    return type(value) is str or (type(value) is list and all(type(line) is str for line in value))


def _is_history(value: Any) -> bool:
    return type(value) is list and all(type(entry) is dict for entry in value)


def _has_counts(value: Any) -> bool:
    return type(value) is dict and all(map(_is_count, value.values()))


def _has_amounts(value: Any) -> bool:
    return type(value) is dict and all(map(_is_amount, value.values()))


def _is_pack(value: Any) -> bool:
    return _has_counts(value) and value.get("places", 1) > 0 and value.get("devices", 1) > 0


def _is_start(value: Any) -> bool:
    return type(value) is dict and _is_count(value.get("step")) and type(value.get("shared", True)) is bool


def _is_corpus(value: Any) -> bool:
    if type(value) is not dict or not _is_amount(value.get("entropy_rate") or 0):
        return False
    canaries = value.get("canary") or []
    return all(_is_count(value.get(name) or 0) for name in ("train", "equations")) and (
        type(canaries) is list
        and all(type(c) is dict and _is_text(c.get("text")) and _is_count(c.get("times")) for c in canaries)
    )


TEXT, COUNT, AMOUNT = "a text", "a whole number of 0 or more", "a number of 0 or more"
ABOUT_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {  # those that commands read
    **{name: (_is_text, TEXT) for name in (
        "error", "host", "device", "precision", "tokenizer", "commit", "jax", "peak_source", "memory_peak_of",
    )},
    **{
        name: (_is_small_count, COUNT)
        for name in (
            "steps_computed", "shared_steps", "diverged_at", "hosts", "devices", "attempts", "slow_steps",
            "memory_peak_bytes",
        )
    },
    **{
        name: (_is_amount, AMOUNT)
        for name in (
            "seconds", "compile_seconds", "start_seconds", "tokens_per_second", "machine_share", "input_wait",
            "mfu", "goodput", "peak_flops_per_second",
        )
    },
    "pid": (_is_process, f"a process id from 1 to {MAX_PID}"),
    "timing": (_has_amounts, "an object of numbers of 0 or more"),
    "checkpoints": (_has_amounts, "an object of numbers of 0 or more"),
    "timed_until": (_is_time, "a time such as 2026-11-30T12:00:00.000+00:00"),
    "started": (_is_time, "a time such as 2026-11-30T12:00:00+00:00"),
    "log": (_is_log, "a list of texts"),
    "before": (_is_history, "a list of objects"),
    "spent_before": (_has_amounts, "an object of numbers of 0 or more"),
    "started_from": (_is_start, "an object with step and shared"),
    "pack": (_is_pack, "an object of whole numbers"),
    "corpus_facts": (_is_corpus, "an object of facts about the corpus"),
}  # fmt: skip


def wrong_field(data: dict[str, Any]) -> str:
    """Returns what is wrong with the type of a field of a record, with its name and value; empty if nothing is.

    Args:
        data: JSON of a record with at least run_id, config and status. The fields of its config are not checked.
    """
    for name in ("run_id", "status", "checksum"):
        if name in data and type(data[name]) is not str:
            return _problem(name, data[name], TEXT)
    if not (data.get("sweep") is None or type(data["sweep"]) is str):
        return _problem("sweep", data["sweep"], "a text or null")
    for name, is_allowed, allowed in (
        ("params", _is_count, COUNT), ("flops", _is_count, COUNT),
        ("final", _is_number, "a finite number"), ("evals", _is_number, "a finite number"),
    ):  # fmt: skip
        values = data.get(name, {})
        if type(values) is not dict:
            return _problem(name, values, "an object")
        for key, value in values.items():
            if not is_allowed(value):
                return _problem(f"{name}.{key}", value, allowed)
    return _wrong_about(data.get("about", {}))


def _wrong_about(about: Any) -> str:
    if type(about) is not dict:
        return _problem("about", about, "an object")
    for name, value in about.items():
        if name in ABOUT_FIELDS:
            is_allowed, allowed = ABOUT_FIELDS[name]
            if not is_allowed(value):
                return _problem(f"about.{name}", value, allowed)
        if type(value) in (dict, list) and _depth_exceeds(value, MAX_DEPTH):
            return f"about.{name} is nested more than {MAX_DEPTH} deep"
    return ""


def _depth_exceeds(value: Any, most: int) -> bool:
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    return most <= 0 or any(_depth_exceeds(entry, most - 1) for entry in inner if type(entry) in (dict, list))


def _problem(name: str, value: Any, allowed: str) -> str:
    return f"{name} = {shown(value)}: must be {allowed}"
