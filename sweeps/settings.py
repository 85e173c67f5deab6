"""`--set name=value` of a sweep: what its definition takes by keyword, and the rules it is made by.

`rules=tpu|small` chooses a set of rules; of that set, `lr`, `batch`, `length` and `mup` can be changed:
`lr=0.002` everywhere, or `lr=0.002@1e8^-0.4`, a law through 0.002 at 1e8 parameters, as a bracket gave it;
`batch=65536` tokens a step or `batch=65536@1e8^0.5`; `mup=256`: muP whose base is width 256.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from scaling.config import ModelConfig
from scaling.models.counts import parameters
from sweeps.corpus import SweepError
from sweeps.rules import RULES, Rules

GIVEN = ("corpus", "seed", "by")  # not settings of their own
OF_RULES = ("rules", "lr", "batch", "length", "mup")


def settings(name: str, make: Callable[..., Any], assignments: list[str]) -> dict[str, Any]:
    """Keywords for `make` from `name=value`, by the type of each default; SweepError says what is allowed."""
    known = {key: one.default for key, one in inspect.signature(make).parameters.items() if key not in GIVEN}
    by = inspect.signature(make).parameters.get("by")
    out: dict[str, Any] = {}
    changes: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or (key not in known and (by is None or key not in OF_RULES)):
            allowed = [f"{k}={shown(v)}" for k, v in known.items()]
            allowed += [f"rules={'|'.join(RULES)}", "lr=R[@N^P]", "batch=T[@N^P]", "length=L", "mup=WIDTH"] * bool(by)
            raise SweepError(f"--set {text}: {name} has {' '.join(allowed) or 'no settings'}")
        if key in known:
            out[key] = read(text, value, known[key])
        else:
            changes[key] = value
    if by is not None and changes:
        out["by"] = changed(by.default, changes)
    return out


def shown(value: Any) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(text: str, value: str, default: Any) -> Any:
    """The value in the type of the default."""
    if isinstance(default, tuple):
        kind = default[0] if default else ""
        return tuple(read(text, part, kind) for part in value.split(",") if part)
    if isinstance(default, str):
        return value
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf") or (isinstance(default, int) and number != int(number)):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise SweepError(f"--set {text}: must be {kind} of 0 or more, such as {shown(default)}")
    return int(number) if isinstance(default, int) else number


def changed(by: Rules, changes: dict[str, str]) -> Rules:
    """The rules with the changes made."""
    if "rules" in changes:
        if changes["rules"] not in RULES:
            raise SweepError(f"--set rules={changes['rules']}: known are {', '.join(RULES)}")
        by = RULES[changes["rules"]]
    if "lr" in changes:
        by = dataclasses.replace(by, rate=power("lr", changes["lr"]))
    if "batch" in changes:
        by = dataclasses.replace(by, tokens=power("batch", changes["batch"]), least_batch=1, power_of_two=False)
    if "length" in changes:
        by = dataclasses.replace(by, length=positive("length", changes["length"]))
    if "mup" in changes:
        by = dataclasses.replace(by, mup_base=positive("mup", changes["mup"]))
    return by


def positive(key: str, value: str) -> int:
    """A whole number above 0."""
    if not value.isdigit() or not int(value):
        raise SweepError(f"--set {key}={value}: must be a whole number above 0")
    return int(value)


def power(key: str, value: str) -> Callable[[ModelConfig], float]:
    """`level` or `level@N^exponent` as a law of a model's parameters."""
    level, at, law = value.partition("@")
    size, hat, exponent = law.partition("^")
    try:
        scale, n, p = float(level), float(size) if at else 1.0, float(exponent) if at else 0.0
    except ValueError:
        scale = n = p = 0.0
    if not (0 < scale < float("inf") and 0 < n < float("inf")) or bool(at) != bool(hat):
        raise SweepError(f"--set {key}={value}: must be a number, or a law LEVEL@N^EXPONENT such as 0.002@1e8^-0.4")
    return lambda of: scale * (parameters(of)["total"] / n) ** p
