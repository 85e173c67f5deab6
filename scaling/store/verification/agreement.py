"""Agreement of a record with its config and with its curve: ids, counts, steps, tokens and final scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.config.user_code.blocks import user_blocks
from scaling.config.validation import shown
from scaling.counting.counts import run_flops, run_parameters

FINISHED = ("done", "diverged")
CURVE_NAMES = {"loss": "val_loss", "train_loss": "loss"}  # score of a record: column of the curve, if another
MAX_COUNTS = 4096  # largest number of cached counts
_counts: dict[tuple[Any, ...], dict[str, dict[str, int]]] = {}


def disagreement(data: Mapping[str, Any], config: RunConfig) -> str:
    """Returns which field of a record does not agree with its config, with both values; empty if all agree.

    Parameters and FLOPs of a model with blocks of a user's file are not compared, because counting them runs that file.

    Args:
        data: JSON of the record, whose fields have the right types.
        config: Its config.
    """
    expected_id = run_id(config)
    if data["run_id"] != expected_id:
        return f"run_id = {shown(data['run_id'])}, but its config has the run id {expected_id}"
    final, steps = data.get("final", {}), config.steps
    step = final.get("step")
    if step is not None:
        if step != int(step) or not 0 <= step <= steps or (data["status"] == "done" and step != steps):
            needed = f"{steps}" if data["status"] == "done" else f"from 0 to {steps}"
            return f"final.step = {step}: must be {needed}, as its config has steps = {steps}"
        if "tokens" in final and final["tokens"] != (tokens := config.sequences(int(step)) * config.data.length):
            return f"final.tokens = {final['tokens']}, but {step} steps of its config read {tokens} tokens"
    for group, expected in _expected_counts(config).items():
        values = data.get(group) or {}
        if not values.items() <= expected.items():
            name = next(name for name, value in values.items() if value != expected.get(name))
            return f"{group}.{name} = {values[name]}, but its config gives {expected.get(name, 'no such part')}"
    return ""


def _expected_counts(config: RunConfig) -> dict[str, dict[str, int]]:
    """Returns `params` and `flops` of a config, counted once for runs that differ in seed or learning rate alone.

    Empty for a model with blocks of a user's file.
    """
    key = (config.model, config.data, config.schedule, config.batch, config.steps, config.sae)
    if key not in _counts:
        if len(_counts) >= MAX_COUNTS:
            _counts.clear()
        has_user_blocks = bool(user_blocks(config.model))
        _counts[key] = {} if has_user_blocks else {"params": run_parameters(config), "flops": run_flops(config)}
    return _counts[key]


def curve_disagreement(final: Mapping[str, float], last: Mapping[str, float]) -> str:
    """Returns which final score of a finished run is not that of the curve's last row; empty if all agree.

    Args:
        final: The final scores of its record.
        last: The last row of its curve.
    """
    for name, value in final.items():
        column = CURVE_NAMES.get(name, name)
        if column in last and last[column] != value:
            return f"final.{name} = {value}, but the last row of its curve has {column} = {last[column]}"
    return ""
