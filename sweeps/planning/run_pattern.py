"""The pattern of a store's runs: each field of their configs as a constant or a function of model size and tokens.

`sweeps next` makes new runs by this pattern if no known rules made the existing ones. A field that varies is tried, in
turn, as proportional to the steps, as a power law in N or in D, as proportional to the width, as a power law in the
width, as one in N and D, and as a table by size. Values that repeat at one end are a floor or a cap; powers of two
are rounded as such.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.counting.counts import total_parameters
from sweeps.errors import SweepError
from sweeps.planning.field_pattern import Pattern, fit_field, tabulate_field
from sweeps.planning.fields import field_value, known_fields

FREE_FIELDS = ("steps", "seed", "budget", "data.corpus")  # not part of the pattern
CELL = 0.02  # runs of one model whose tokens differ by less are of one length


class TrainedRun(NamedTuple):
    """A finished run and its loss; None without one."""

    config: RunConfig
    loss: float | None


@dataclass(frozen=True)
class RunPattern:
    """The pattern of runs on one corpus.

    Attributes:
        axis: What sets the size of a model, "width" or, at one width, "layers".
        example: A run whose constant fields all runs have.
        fields: The other fields.
        models: Models of the existing runs by size on the axis, which new runs of that size have.
        notes: The pattern in words.
    """

    axis: str
    example: RunConfig
    fields: Mapping[str, Pattern]
    models: Mapping[int, ModelConfig]
    notes: Sequence[str]

    def run_for_tokens(self, size: int, tokens: float, seed: int) -> RunConfig:
        """Returns the run of a size that reads a number of tokens; ConfigError if the pattern makes none.

        Args:
            size: Width or layers of the model.
            tokens: Training tokens.
            seed: Seed of the run.
        """
        model = self.model(size)
        quantities = {self.axis: float(size), "N": float(total_parameters(model)), "D": tokens}
        batch = self._value("batch", quantities)
        steps = max(1, round(tokens / (batch * self.example.data.length)))
        quantities["steps"] = float(steps)
        changes: dict[str, Any] = {"model": model, "batch": batch, "steps": steps, "seed": seed}
        for name in self.fields:
            group, _, field = name.rpartition(".")
            if group and group != "model":
                value = self._value(name, quantities)
                changes[group] = dataclasses.replace(changes.get(group, getattr(self.example, group)), **{field: value})
        return dataclasses.replace(self.example, **changes, budget=None)

    def model(self, size: int) -> ModelConfig:
        """Returns the model of a size; ConfigError if the pattern makes none."""
        if size in self.models:
            return self.models[size]
        names = [name for name in self.fields if name.startswith("model.")]
        sizes = {name.partition(".")[2]: self._value(name, {self.axis: float(size)}) for name in names}
        changes: dict[str, Any] = {self.axis: size, **sizes}
        return dataclasses.replace(self.example.model, **changes)

    def sizes(self, candidates: Sequence[int]) -> dict[int, int]:
        """Returns the size on the axis of each number of parameters, for existing sizes and those the pattern makes.

        Args:
            candidates: Sizes to try; with one existing size there is no pattern for others.
        """
        by_parameters: dict[int, int] = {}
        for size in sorted({*self.models} | ({*candidates} if len(self.models) > 1 else set())):
            try:
                by_parameters[total_parameters(self.model(size))] = size
            except ConfigError:  # such as heads that do not divide the width
                continue
        return by_parameters

    def _value(self, name: str, quantities: Mapping[str, float]) -> Any:
        pattern = self.fields.get(name)
        return field_value(self.example, name) if pattern is None else pattern.value(quantities)


def find_pattern(runs: Sequence[TrainedRun], fixed: Mapping[str, Any]) -> RunPattern:
    """Finds the pattern of runs.

    Of runs with the same model and tokens one is taken (`best_runs`), and of these the runs with the most common values
    of fields that are not numbers.

    Args:
        runs: Finished runs on one corpus.
        fixed: Fields with a value of their own in new runs, which need no pattern.

    Raises:
        SweepError: A field follows no pattern.
    """
    best, chosen = best_runs(runs)
    common, notes = _most_common([run.config for run in best])
    notes = [*chosen, *notes]
    common = [with_values(config, fixed) for config in common]
    axis = "width" if _is_varied(common, "model.width") else "layers"
    left_out = (*FREE_FIELDS, *fixed, f"model.{axis}")
    fields: dict[str, Pattern] = {}
    for name in (name for name in known_fields() if name not in left_out and _is_varied(common, name)):
        pattern = fit_field(name, common, axis) or tabulate_field(name, common, axis)
        if pattern is None:
            raise SweepError(
                f"{name} of the store's runs follows no pattern in {axis}, N, D or steps: give its value in the new "
                f"runs, such as --set {name}={field_value(common[0], name)}"
            )
        fields[name] = pattern
    described = [f"{name} = {pattern}" for name, pattern in fields.items()]
    constant = [f"{name} = {field_value(common[0], name)}" for name in ("optimizer.lr", "batch") if name not in fields]
    notes = [f"pattern of the runs: {'; '.join([*described, *constant])}; all else constant", *notes]
    models = {int(getattr(config.model, axis)): config.model for config in common}
    return RunPattern(axis, common[0], fields, models, notes)


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Returns a config with the values of some fields, by dotted name."""
    for name, value in values.items():
        group, _, field = name.rpartition(".")
        change = {group: dataclasses.replace(getattr(config, group), **{field: value})} if group else {name: value}
        config = dataclasses.replace(config, **change)
    return config


def best_runs(runs: Sequence[TrainedRun]) -> tuple[list[TrainedRun], list[str]]:
    """Returns the runs whose hyperparameters new runs have, at most one per model and number of tokens, and a note.

    If all models and lengths were trained with the same combinations of hyperparameters (a grid), the combination with
    the lowest mean loss is taken, otherwise the best run of each model and length.

    Args:
        runs: The runs.
    """
    cells: dict[tuple[ModelConfig, int], list[TrainedRun]] = defaultdict(list)
    for run in runs:
        cells[run.config.model, round(math.log(run.config.tokens) / CELL)].append(run)
    if len(cells) == len(runs):
        return list(runs), []
    names = [
        name for name in known_fields()
        if name not in FREE_FIELDS and any(_is_varied([run.config for run in cell], name) for cell in cells.values())
    ]  # fmt: skip
    losses: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for cell in cells.values():
        for key in {_values(run.config, names) for run in cell}:
            losses[key].append(min(_loss(run) for run in cell if _values(run.config, names) == key))
    if names and all(len(column) == len(cells) for column in losses.values()):
        chosen = min(losses, key=lambda key: sum(losses[key]))
        text = ", ".join(f"{name} = {value}" for name, value in zip(names, chosen, strict=True))
        best = [
            min((run for run in cell if _values(run.config, names) == chosen), key=_loss) for cell in cells.values()
        ]
        return best, [f"of {len(losses)} combinations {text} is taken, which has the lowest mean loss"]
    best = [min(cell, key=_loss) for cell in cells.values()]
    return best, [f"of {len(runs)} runs the best of each model and length is taken ({len(best)})"]


def _values(config: RunConfig, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(field_value(config, name) for name in names)


def _loss(run: TrainedRun) -> float:
    return math.inf if run.loss is None else run.loss


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_varied(configs: Sequence[RunConfig], name: str) -> bool:
    return len({field_value(config, name) for config in configs}) > 1


def _most_common(configs: list[RunConfig]) -> tuple[list[RunConfig], list[str]]:
    """Returns the runs with the most common combination of values that are not numbers, and a note about the others."""
    names = [
        name for name in known_fields()
        if name not in FREE_FIELDS
        and (name in ("model.vocab", "data.length", "data.unique", "eval.every", "eval.sequences")
             or any(not _is_number(field_value(config, name)) for config in configs))
    ]  # fmt: skip
    ((values, count),) = Counter(_values(config, names) for config in configs).most_common(1)
    if count == len(configs):
        return configs, []
    differing = [
        name for i, name in enumerate(names) if any(field_value(config, name) != values[i] for config in configs)
    ]
    kept = [config for config in configs if _values(config, names) == values]
    shown = ", ".join(f"{name} = {field_value(kept[0], name)}" for name in differing)
    return kept, [f"{count} of {len(configs)} runs have the most common {shown}: new runs have it too"]
