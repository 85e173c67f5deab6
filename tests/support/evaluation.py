"""Easy tasks, and the items that an evaluation left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import get_family
from scaling.inference.load import TrainedModel
from scaling.store import items
from scaling.store.record import Store

EASY_DIFFICULTY = {name: max((get_family(name).difficulties or (1, 1))[0], 3) for name in FAMILIES} | {
    "modular": 23,
    "regression": 2,
}


def item_rows(folder: Path, task: str) -> list[dict]:
    [file] = [file for file in items.item_files(folder) if file.task == task]
    return items.read_items(file.path)


def log_probabilities(model_run: TrainedModel) -> Callable[[list[int]], np.ndarray]:
    """Of each next token by the plain forward pass, float64 (L, V)."""

    @jax.jit
    def forward(params: Any, tokens_BL: jax.Array) -> jax.Array:
        logits_BLV = nnx.merge(model_run.graph, params)(tokens_BL, None)
        return jax.nn.log_softmax(logits_BLV.astype(jnp.float32), axis=-1)[0]

    def sequence_logp(tokens: list[int]) -> np.ndarray:
        filled = np.zeros((1, 48), np.int32)
        filled[0, : len(tokens)] = tokens
        return np.asarray(forward(model_run.params, filled), np.float64)

    return sequence_logp


def rows_of(store: Store, model_run: TrainedModel) -> dict[str, list[items.Row]]:
    """The items of the run's newest step, by task."""
    values = [
        file for file in items.item_files(store.items_dir(model_run.record.run_id)) if file.step == model_run.step
    ]
    return {items.task_label(file.task, file.shots): items.read_items(file.path) for file in values}
