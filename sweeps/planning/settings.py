"""`--set name=value` of a sweep: keyword arguments of its definition, and changes of its rules.

A name that is neither is a field of the runs' configs (sweeps/planning/fields.py).
`rules=tpu|small` chooses the rules (sweeps/planning/rules.py); `lr`, `batch`, `length` and `mup` change them:
`lr=0.002` at every size, or `lr=0.002@1e8^-0.4`, a power law through 0.002 at 1e8 parameters; `batch=65536` tokens per
step, or `batch=65536@1e8^0.5`; `mup=256`, muP with base width 256.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

from scaling.config.model import ModelConfig
from scaling.counting.counts import parameters
from sweeps.errors import SweepError
from sweeps.planning.fields import is_field, similar_names
from sweeps.planning.rules import RULES, Rules

NOT_SETTINGS = ("corpus", "seed", "rule_set")  # arguments of definitions that are not settings
RULE_SETTINGS = ("rules", "lr", "batch", "length", "mup")
# Bounds keep products of a few numbers finite and loops short.
NUMBER_BOUNDS, INTEGER_BOUNDS = (1e-30, 1e30), (1, 10_000_000)
SETTING_BOUNDS = {"decays": (0, 1e30), "count": (1, 10_000), "seeds": (1, 1000)}  # by name of the setting
BOOLEANS = {"true": True, "false": False}
MAX_EXPONENT = 4.0  # of a power law
EXAMPLE_BASE_WIDTH = 256  # an example in an error message


def separate_fields(make: Callable[..., Any], assignments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separates the settings of a definition and its rules from the fields of the runs' configs.

    Args:
        make: The definition. Its settings come first: `batch` is a field only where the sweep has no such setting.
        assignments: Texts such as "budgets=1e18" or "optimizer.weight_decay=0.05".

    Returns:
        The assignments of settings, including unknown names, and those of fields.
    """
    own = setting_names(make)
    fields = [text for text in assignments if (key := text.partition("=")[0]) not in own and is_field(key)]
    return [text for text in assignments if text not in fields], fields


def takes(make: Callable[..., Any], name: str) -> bool:
    """Whether a definition has a parameter.

    Args:
        make: The definition.
        name: Name of the parameter.
    """
    return name in inspect.signature(make).parameters


def setting_defaults(make: Callable[..., Any]) -> dict[str, Any]:
    """Returns the default of each setting of a definition; SweepError where a parameter has none."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(make).parameters.values()
    settings = [item for item in parameters if item.name not in NOT_SETTINGS and item.kind not in variable]
    for parameter in settings:
        if parameter.default is inspect.Parameter.empty or parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise SweepError(
                f"function {getattr(make, '__name__', make)}: parameter {parameter.name} must have a default "
                f"and be passed by name: a sweep's parameters are corpus, seed, rule_set, and settings with defaults"
            )
    return {parameter.name: parameter.default for parameter in settings}


def setting_names(make: Callable[..., Any]) -> list[str]:
    """Returns the names of the settings of a definition and of its rules."""
    return [*setting_defaults(make), *(RULE_SETTINGS if takes(make, "rule_set") else ())]


def parse_settings(
    name: str, make: Callable[..., Any], assignments: list[str], *, bounded: bool = True
) -> dict[str, Any]:
    """Parses `--set` into keyword arguments of a sweep's definition.

    Args:
        name: Name of the sweep, for messages.
        make: The definition; the type of each default is the type of the setting.
        assignments: Texts such as "budgets=1e18,1e19".
        bounded: Whether numbers must be within SETTING_BOUNDS and the other bounds; they need not for users' functions.

    Returns:
        The keyword arguments.

    Raises:
        SweepError: A setting is unknown or out of range; the message lists the allowed settings or values.
    """
    defaults = setting_defaults(make)
    rule_set = inspect.signature(make).parameters.get("rule_set")
    out: dict[str, Any] = {}
    changes: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or (key not in defaults and (rule_set is None or key not in RULE_SETTINGS)):
            allowed = [f"{k}={format_value(v)}" for k, v in defaults.items()]
            allowed += [f"rules={'|'.join(RULES)}", "lr=R[@N^P]", "batch=T[@N^P]", "length=L", "mup=WIDTH"] * bool(
                rule_set
            )
            near = similar_names(key, setting_names(make)) if equals else []
            raise SweepError(
                f"--set {text}: "
                + (f"did you mean {' or '.join(near)}? " if near else "")
                + f"settings of {name} are {' '.join(allowed)}" * bool(allowed)
                + f"{name} has no settings of its own" * (not allowed)
                + "; any field of a run's config can be set too, such as optimizer.weight_decay=0.05"
            )
        if key in defaults:
            out[key] = parse_value(text, value, defaults[key], bounded=bounded)
        else:
            changes[key] = value
    if rule_set is not None and changes:
        out["rule_set"] = change_rules(rule_set.default, changes)
    return out


def format_value(value: Any) -> str:
    """Formats the value of a setting as on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(format_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_value(text: str, value: str, default: Any, *, bounded: bool = True) -> Any:
    """Converts the text of a setting to the type of its default.

    Args:
        text: The assignment, for messages; its name selects bounds.
        value: The text of the value.
        default: The default, which determines the type; a tuple or list is a comma-separated list, and with a default
            of None the value is JSON or text.
        bounded: As for `parse_settings`.
    """
    if isinstance(default, tuple | list):
        kind = default[0] if default else ""
        return type(default)(parse_value(text, part, kind, bounded=bounded) for part in value.split(",") if part)
    if isinstance(default, bool):
        if value.lower() not in BOOLEANS:
            raise SweepError(f"--set {text}: must be {' or '.join(BOOLEANS)}")
        return BOOLEANS[value.lower()]
    if default is None:
        return parse_json_or_text(value)
    if isinstance(default, str):
        return value
    if not isinstance(default, int | float):
        raise SweepError(f"--set {text}: cannot be set: its default is {type(default).__name__}")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    whole = isinstance(default, int)
    low, high = SETTING_BOUNDS.get(text.partition("=")[0], INTEGER_BOUNDS if whole else NUMBER_BOUNDS)
    if not bounded:
        low, high = -NUMBER_BOUNDS[1], NUMBER_BOUNDS[1]
    if not low <= number <= high or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise SweepError(f"--set {text}: must be {kind} from {low:g} to {high:g}, such as {format_value(default)}")
    return int(number) if whole else number


def parse_json_or_text(value: str) -> Any:
    """Returns the value of a text as JSON, or the text itself if it is not JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def change_rules(rule_set: Rules, changes: dict[str, str]) -> Rules:
    """Returns the rules with changed settings.

    Args:
        rule_set: The rules.
        changes: Text of each changed setting, by name (RULE_SETTINGS).
    """
    if "rules" in changes:
        if changes["rules"] not in RULES:
            raise SweepError(f"--set rules={changes['rules']}: must be one of {', '.join(RULES)}")
        rule_set = RULES[changes["rules"]]
    if "lr" in changes:
        rule_set = dataclasses.replace(rule_set, learning_rate=parse_power_law("lr", changes["lr"]))
    if "batch" in changes:
        rule_set = dataclasses.replace(
            rule_set, batch_tokens=parse_power_law("batch", changes["batch"]), min_batch=1, power_of_two=False
        )
    if "length" in changes:
        rule_set = dataclasses.replace(
            rule_set, length=parse_value(f"length={changes['length']}", changes["length"], rule_set.length)
        )
    if "mup" in changes:
        rule_set = dataclasses.replace(
            rule_set, mup_base=parse_value(f"mup={changes['mup']}", changes["mup"], EXAMPLE_BASE_WIDTH)
        )
    return rule_set


def parse_power_law(key: str, text: str) -> Callable[[ModelConfig], float]:
    """Parses "LEVEL" or "LEVEL@N^EXPONENT" into a function of a model, level·(parameters / N)^exponent.

    Args:
        key: Name of the setting.
        text: The text.
    """
    level, separator, law = text.partition("@")
    size, hat, exponent = law.partition("^")
    (low, high), flag = NUMBER_BOUNDS, f"--set {key}={text}"
    try:
        scale, n, p = float(level), float(size) if separator else 1.0, float(exponent) if separator else 0.0
    except ValueError:
        scale = n = p = 0.0
    if not (low <= scale <= high and low <= n <= high and abs(p) <= MAX_EXPONENT) or bool(separator) != bool(hat):
        raise SweepError(
            f"{flag}: must be a number or a power law LEVEL@N^EXPONENT such as 0.002@1e8^-0.4, numbers from {low:g} "
            f"to {high:g} and an exponent from {-MAX_EXPONENT:g} to {MAX_EXPONENT:g}"
        )

    def power_law(model: ModelConfig) -> float:
        total = parameters(model)["total"]
        value = scale * (total / n) ** p
        if not low <= value <= high:
            raise SweepError(f"{flag}: is {value:g} at {total:,} parameters: must be from {low:g} to {high:g}")
        return float(value)

    return power_law
