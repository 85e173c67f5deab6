"""Fields of the runs' configs that `--set` gives: `optimizer.weight_decay=0.05`, or a list, which makes a grid.

The definition and its rules make the runs first; fields are changed afterwards. What the definition holds constant
stays constant: runs with a budget keep their FLOPs, other runs their tokens, by their number of steps, and the warm-up
keeps its tokens.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
import typing
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.run import RunConfig, run_id
from scaling.config.schedule import batch_stages
from scaling.config.user_code.blocks import resolve_blocks
from scaling.config.validation import ConfigError, ValidatedConfig, field_types
from scaling.counting.counts import model_step_flops
from sweeps.errors import SweepError
from sweeps.planning.budget import BUDGET_TOLERANCE

FieldGrid = Mapping[str, tuple[Any, ...]]  # values by dotted name of the field

TOP_LEVEL = "run."  # prefix of fields of the RunConfig itself whose name is also that of a setting, as in run.batch
SYNONYMS = {"schedule.kind": "schedule.name", "optimizer.kind": "optimizer.name"}  # named like model.kind
CHOSEN_ELSEWHERE = {  # fields that cannot be set, and where they are chosen
    "data.tokens": "choose the corpus with --corpus",
    "data.corpus": "choose the corpus with --corpus",
    "budget": "a label of the run: choose the sweep's budgets, or steps",
}
SETTING_FIELDS = {  # fields that a setting of the rules determines, by its name
    "lr": ("optimizer.lr",),
    "batch": ("batch",),
    "length": ("data.length",),
    "mup": ("model.parametrization", "model.base_width"),
}
TOTAL_FIELDS = ("batch", "data.length", "data.objective", "schedule.batch_ramp")  # change FLOPs or tokens of a step
MAX_RUNS = 1_000_000  # of a grid
MIN_SIMILARITY = 0.75  # of a name that is suggested (difflib's ratio, 1 for equal names)
SIMILARITY_RANGE = 0.1  # largest difference to the most similar name


@cache
def known_fields() -> dict[str, Any]:
    """Returns the declared type of each field of a RunConfig by its dotted name."""
    known: dict[str, Any] = {}
    for name, hint in field_types(RunConfig).items():
        if dataclasses.is_dataclass(hint):
            known |= {f"{name}.{inner}": kind for inner, kind in field_types(hint).items()}  # type: ignore[arg-type]
        else:
            known[name] = hint
    return known


def field_name(key: str) -> str:
    """Returns the dotted name of a field as in the config, from its name in `--set`."""
    return SYNONYMS.get(key, key.removeprefix(TOP_LEVEL))


def is_field(key: str) -> bool:
    """Whether the name in an assignment is that of a field of the config, or meant as one."""
    return "." in key or (key in field_types(RunConfig) and key not in CHOSEN_ELSEWHERE)


def similar_names(key: str, names: Sequence[str] = ()) -> list[str]:
    """Returns the names of fields, and further names, that resemble a name which does not exist.

    Args:
        key: The unknown name.
        names: Further names that are allowed, such as the settings of a sweep.
    """
    known = [*names, *(name for name in known_fields() if name not in CHOSEN_ELSEWHERE)]

    def similarity(name: str) -> float:
        """Of the last parts of the names, so that weight_decay finds optimizer.weight_decay, or of the whole names."""
        pairs = ((key.rpartition(".")[2], name.rpartition(".")[2]), (key, name))
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    scores = {name: similarity(name) for name in known}
    lowest = max(MIN_SIMILARITY, max(scores.values()) - SIMILARITY_RANGE)
    return sorted((name for name in known if scores[name] >= lowest), key=lambda name: -scores[name])[:3]


def parse_fields(assignments: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Parses assignments of fields.

    Args:
        assignments: Texts such as "optimizer.weight_decay=0.05,0.1". A value is JSON or plain text; commas outside
            brackets and quotes separate the values of a grid.

    Returns:
        The values of each field by its dotted name.

    Raises:
        SweepError: A field is unknown, cannot be set, or is given twice, or a value is missing or given twice.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in assignments:
        key, _, values = text.partition("=")
        name = field_name(key)
        _check_name(text, key, name)
        if name in grid:
            raise SweepError(f"--set {text}: {name} is given twice: a list makes a grid, such as {name}=VALUE,VALUE")
        listed = (
            values.startswith("[") and values.endswith("]") and typing.get_origin(known_fields()[name]) is not tuple
        )
        parts = split_values(values[1:-1] if listed else values)  # [0.05, 0.1] is the same list
        if not all(parts):
            raise SweepError(f"--set {text}: must be a value or a list of values, such as {name}=VALUE,VALUE")
        grid[name] = tuple(_parse_value(part, known_fields()[name]) for part in parts)
        if len({(type(value) is bool, value) for value in grid[name]}) < len(parts):
            raise SweepError(f"--set {text}: a value is given twice: leave one out")
    return grid


def _check_name(text: str, key: str, name: str) -> None:
    if name in CHOSEN_ELSEWHERE:
        raise SweepError(f"--set {text}: {name} cannot be set: {CHOSEN_ELSEWHERE[name]}")
    if name in known_fields():
        return
    group = [known for known in known_fields() if known.startswith(f"{key}.")]
    if group:
        raise SweepError(f"--set {text}: {key} is a group of fields: must be one of {', '.join(group)}")
    near = similar_names(key)
    parent = key.partition(".")[0]
    members = [known for known in known_fields() if known.startswith(f"{parent}.")] or list(field_types(RunConfig))
    raise SweepError(
        f"--set {text}: unknown field {key}: "
        + (f"did you mean {' or '.join(near)}? " if near else "")
        + f"{'fields of ' + parent if '.' in members[0] else 'fields of the config'} are {', '.join(members)}"
    )


def split_values(text: str) -> list[str]:
    """Splits the text of a list at the commas outside brackets and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _parse_value(text: str, hint: Any) -> Any:
    """Parses a value: JSON, a number such as .05, none for null, or text; a field of type str takes the text itself."""
    if hint is str:
        return text.strip('"')
    try:
        value = json.loads({"True": "true", "False": "false", "none": "null", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        try:
            value = float(text)
        except ValueError:
            return text
    whole = isinstance(value, float) and value.is_integer() and hint in (int, int | None)
    return int(value) if whole else _as_tuples(value)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)  # which no field takes
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def check_settings(grid: FieldGrid, settings: Mapping[str, str]) -> None:
    """Raises SweepError if a field is also determined by a setting of the rules.

    Args:
        grid: The fields.
        settings: The assignment of each setting by its name.
    """
    for name, text in settings.items():
        for field in SETTING_FIELDS.get(name, ()):
            if field in grid:
                shown = field if "." in field else TOP_LEVEL + field
                raise SweepError(f"--set {text}: {shown} is set as well: give one of them")


def apply_fields(configs: Sequence[RunConfig], grid: FieldGrid) -> list[RunConfig]:
    """Returns each run once per combination of the values of the fields.

    Args:
        configs: The runs.
        grid: Values of each field.

    Raises:
        SweepError: A run with these fields is not valid, whole steps cannot keep its FLOPs or tokens, or runs that the
            sweep varies become equal.
    """
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(combinations) * len(configs) > MAX_RUNS:
        count = f"{len(configs):,} runs times {len(combinations):,} combinations"
        raise SweepError(f"--set {' '.join(grid)}: {count}: at most {MAX_RUNS:,} runs are allowed")
    out = [_with_fields(config, values) for values in combinations for config in configs]
    distinct = len(set(map(run_id, out)))
    if distinct < len(combinations) * len(set(map(run_id, configs))):
        raise SweepError(
            f"--set {' '.join(grid)}: the sweep varies what this sets: of {len(out):,} runs {distinct:,} would differ: "
            "set another field, or the sweep's own settings"
        )
    return out


def _with_fields(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    groups: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        group, _, field = name.rpartition(".")
        if group:
            groups.setdefault(group, {})[field] = value
        else:
            changes[name] = value
    try:
        for group, fields in groups.items():
            if fields.get("warmup_tokens") is not None:
                fields.setdefault("warmup", 0)  # one of the two
            changes[group] = _replace(getattr(config, group), tuple(fields.items()))
        if "model" in changes:
            changes["model"] = resolve_blocks(changes["model"])
        if "steps" in values:
            return dataclasses.replace(config, **changes, budget=None)  # its FLOPs are no longer the budget's
        return dataclasses.replace(config, **changes | _constant_design(config, changes, values))
    except ConfigError as error:
        raise SweepError(f"--set {assignments_text(values)}: {error}") from None


@lru_cache(maxsize=2**14)
def _replace(group: ValidatedConfig, fields: tuple[tuple[str, Any], ...]) -> Any:
    return dataclasses.replace(group, **dict(fields))  # type: ignore[type-var]


def _constant_design(config: RunConfig, changes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the steps and the schedule with which a changed run keeps its FLOPs or its tokens, and its warm-up."""
    model, data = changes.get("model", config.model), changes.get("data", config.data)
    batch, schedule = changes.get("batch", config.batch), changes.get("schedule", config.schedule)
    if not isinstance(batch, int) or batch < 1:
        return {}  # RunConfig says what is allowed
    unit = "tokens" if config.budget is None else "FLOPs"
    out: dict[str, Any] = {}
    before = _cost(unit, config.model, config.data, config.batch_stages)
    cost = _cost(unit, model, data, batch_stages(batch, schedule.batch_ramp, config.steps))
    if cost != before:
        target, step_cost = config.budget or before, _cost(unit, model, data, [(batch, 0, 1)])
        steps = config.steps + round((target - cost) / step_cost)
        if steps < 1 or abs((cost + (steps - config.steps) * step_cost) / target - 1) > BUDGET_TOLERANCE:
            raise ConfigError(
                f"{target:.3g} {unit} at width {model.width} are {config.steps + (target - cost) / step_cost:.1f} "
                f"steps, and whole steps miss them by over {BUDGET_TOLERANCE:.0%}: take a smaller batch or set steps"
            )
        out["steps"] = steps
    ratio = batch * data.length / (config.batch * config.data.length)
    if ratio != 1 and schedule.warmup and not {"schedule.warmup", "schedule.warmup_tokens"} & set(values):
        out["schedule"] = dataclasses.replace(schedule, warmup=max(1, round(schedule.warmup / ratio)))
    return out


def _cost(unit: str, model: ModelConfig, data: DataConfig, stages: Sequence[tuple[int, int, int]]) -> int:
    """Returns the training FLOPs or tokens of stages of constant batch size."""

    def step_cost(batch: int) -> int:
        return batch * data.length if unit == "tokens" else model_step_flops(model, data.length, batch, data.layout)

    return sum(step_cost(batch) * (end - first) for batch, first, end in stages)


def varied_fields(grid: FieldGrid) -> list[str]:
    """Returns the names of the fields with several values."""
    return [name for name, values in grid.items() if len(values) > 1]


def field_value(config: RunConfig, name: str) -> Any:
    """Returns the value of a field of a config by its dotted name."""
    group, _, field = name.rpartition(".")
    return getattr(getattr(config, group) if group else config, field)


def fields_note(grid: FieldGrid) -> str:
    """Returns a line that names the fields that were set, and what follows from them."""
    fields = "; ".join(f"{name} = {', '.join(map(format_field, values))}" for name, values in grid.items())
    varied = varied_fields(grid)
    count = math.prod(len(grid[name]) for name in varied)
    notes = [f"each run once per {'combination' if len(varied) > 1 else 'value'} ({count})"] if varied else []
    if "steps" in grid:
        notes.append("budgets no longer apply")
    elif any(name in TOTAL_FIELDS or name.startswith("model.") for name in grid):
        notes.append("steps keep the FLOPs of runs with a budget and the tokens of others")
    return f"set: {fields}" + (f" ({'; '.join(notes)})" if notes else "")


def assignments_text(values: Mapping[str, Any]) -> str:
    """Formats fields and their values as on the command line; a tuple is a list of values."""
    return " ".join(f"{name}={format_field(value)}" for name, value in values.items())


def format_field(value: Any) -> str:
    """Formats the value of a field as on the command line."""
    if isinstance(value, tuple):
        return json.dumps(value)
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)
