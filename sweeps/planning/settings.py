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

from scaling.config.model import ModelConfig
from scaling.models.counts import parameters
from sweeps.errors import SweepError
from sweeps.planning.rules import RULES, Rules

GIVEN = ("corpus", "seed", "by")  # not settings of their own
OF_RULES = ("rules", "lr", "batch", "length", "mup")
# From, to: products of a few numbers stay finite, and what is counted one by one is soon counted
NUMBER, WHOLE = (1e-30, 1e30), (1, 10_000_000)
OTHERS = {"decays": (0, 1e30), "count": (1, 10_000), "seeds": (1, 1000)}  # settings with bounds of their own
EXPONENT = 4.0  # of a law, at most
BASE = 256  # of muP, an example


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
    whole = isinstance(default, int)
    least, most = OTHERS.get(text.partition("=")[0], WHOLE if whole else NUMBER)
    if not least <= number <= most or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise SweepError(f"--set {text}: must be {kind} from {least:g} to {most:g}, such as {shown(default)}")
    return int(number) if whole else number


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
        by = dataclasses.replace(by, length=read(f"length={changes['length']}", changes["length"], by.length))
    if "mup" in changes:
        by = dataclasses.replace(by, mup_base=read(f"mup={changes['mup']}", changes["mup"], BASE))
    return by


def power(key: str, value: str) -> Callable[[ModelConfig], float]:
    """`level` or `level@N^exponent` as a law of a model's parameters."""
    level, at, law = value.partition("@")
    size, hat, exponent = law.partition("^")
    (least, most), given = NUMBER, f"--set {key}={value}"
    try:
        scale, n, p = float(level), float(size) if at else 1.0, float(exponent) if at else 0.0
    except ValueError:
        scale = n = p = 0.0
    if not (least <= scale <= most and least <= n <= most and abs(p) <= EXPONENT) or bool(at) != bool(hat):
        raise SweepError(
            f"{given}: must be a number, or a law LEVEL@N^EXPONENT such as 0.002@1e8^-0.4, each number from {least:g} "
            f"to {most:g}, the exponent from {-EXPONENT:g} to {EXPONENT:g}"
        )

    def law_of(of: ModelConfig) -> float:
        total = parameters(of)["total"]
        figure = scale * (total / n) ** p
        if not least <= figure <= most:
            raise SweepError(f"{given}: is {figure:g} at {total:,} parameters: must be from {least:g} to {most:g}")
        return float(figure)

    return law_of
