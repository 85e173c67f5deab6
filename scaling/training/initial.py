"""Training that starts from the parameters of another run or of an imported model, with a fresh optimizer at step 0.

`RunConfig.init` names the parameters by their hash, so a run has the same id wherever they come from. The first
checkpoint of the run, of step 0, has them too: from then on their origin is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, require, to_dict
from scaling.inference.parameters import (
    abstract_parameters,
    find_checkpoint,
    find_parameters,
    parameter_shapes,
    read_run,
    saved_parameter_hash,
)
from scaling.program.checkpoint import restore_params
from scaling.program.checkpoint_files import CheckpointFiles, named_leaves
from scaling.store.record import Store
from scaling.training.checkpointing import save_own_checkpoint
from scaling.training.run import Run

_origins: dict[
    str, tuple[CheckpointFiles, str]
] = {}  # checkpoint and run of parameters by their hash, of this process's --init


def with_initial_parameters(configs: Sequence[RunConfig], store: Store, run: str) -> list[RunConfig]:
    """Returns configs that start from the last parameters of a run.

    Args:
        configs: The runs.
        store: The store with both.
        run: The run whose parameters they start from: its id, or its first characters.

    Raises:
        ConfigError: A model has other parameters than that run.
        StoreError: There is no such run or checkpoint.
    """
    parent = read_run(store, run)
    _, files = find_checkpoint(store, parent)
    for config in configs:
        _check_shapes(config.model, parent.config.model, parameter_shapes(files), parent.run_id)
    name = saved_parameter_hash(files, parent.config.model)
    _origins[name] = files, parent.run_id
    return [replace(config, init=name) for config in configs]


def _check_shapes(model: ModelConfig, parent: ModelConfig, shapes: dict[str, str], run: str) -> None:
    """Raises ConfigError, which names the fields that differ, if a model's parameters have other names or shapes."""
    leaves = named_leaves(abstract_parameters(model)).items()
    expected = {name: f"{leaf.dtype}{leaf.shape}" for name, leaf in leaves}
    if shapes in ({}, expected):  # a checkpoint of an early version has no shapes: reading it compares them
        return
    ours, theirs = to_dict(model), to_dict(parent)
    fields = [f"{name} = {ours[name]!r} (there {theirs[name]!r})" for name in ours if ours[name] != theirs[name]]
    raise ConfigError(
        f"--init {run[:12]}: its parameters do not fit this model: ModelConfig.{', '.join(fields[:4])}: "
        "use the model of that run's config.json"
    )


def load_parameters(run: Run) -> dict[str, Any]:
    """Replaces the parameters of a new run by those that its config names.

    Args:
        run: The run with its initial state.

    Returns:
        Facts for the record: the run that they are from, if this process was told.

    Raises:
        ConfigError: The store has no such parameters, or the config is that of an imported model.
    """
    config = run.config
    if config.init is None:
        return {}
    require(config.steps > 0, "RunConfig.steps = 0: an imported model is not trained: set steps, with --init RUN")
    files, parent = _origins.get(config.init, (None, ""))
    files = files or find_parameters(run.store, config.init, config.model)
    if files is None:
        raise ConfigError(
            f"RunConfig.init = {config.init[:12]}…: no checkpoint in store {run.store.address} has these parameters: "
            "give their run with --init RUN"
        )
    run.state["params"] = restore_params(files, run.program.abstract["params"])
    return {"parent": parent} if parent else {}


def save_start(run: Run) -> None:
    """Saves a run at step 0 if its parameters are those of another, so that it does not need them again.

    Args:
        run: The run at its start, with its record.
    """
    if run.config.init is not None and run.step == 0:
        save_own_checkpoint(run)
