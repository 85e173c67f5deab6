"""Sparse autoencoders of a sweep: the streams of activations that they share, and the order of models and autoencoders.

Autoencoders that read the same model, text, order and batch are trained together from one forward pass of the model per
token. Its FLOPs are no part of theirs and are counted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.counting.counts import run_parameters, total_parameters, training_flops
from scaling.store.sae_runs import group_by_stream

NOT_READ = ("head", "attention_full")  # parts of a forward pass that activations do not need, or that repeat another


def run_size(config: RunConfig) -> int:
    """Returns the trained parameters of a run."""
    return total_parameters(config.model) if config.sae is None else run_parameters(config)["total"]


def order_key(config: RunConfig) -> tuple[Any, ...]:
    """Returns the first part of the order of execution: models, then autoencoders by the size of their model.

    Args:
        config: A run.
    """
    if config.sae is None:
        return (False, 0, "")
    return (True, total_parameters(config.model), config.sae.model_run or "")


def worker_groups(configs: Sequence[RunConfig]) -> dict[str, str]:
    """Returns the group of each run by its id: runs of a group are trained by one worker, in order.

    A group is a trunk with the autoencoders of its models, so that no worker waits for another one's model.

    Args:
        configs: The runs, each model before its autoencoders.
    """
    groups: dict[str, str] = {}
    for config in configs:
        model = None if config.sae is None else config.sae.model_run
        groups[run_id(config)] = prefix_id(config, 0) if model is None else groups.get(model, model)
    return groups


def worker_batches(names: Sequence[str], packed: frozenset[str], saes: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the runs that each process of a worker trains, one process after the other.

    Packs of models are trained by a process of their own, so that autoencoders, which read them, are in the last one.

    Args:
        names: Run ids of the worker, in order.
        packed: Those of runs that are trained in packs.
        saes: Those of autoencoders.
    """
    last = set(saes) if packed.intersection(names) else set[str]()
    parts = (
        [name for name in names if name not in packed and name not in last],
        [name for name in names if name in packed],
        [name for name in names if name in last],
    )
    return [tuple(part) for part in parts if part]


def streams(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Returns the autoencoders that read each stream of activations of a model."""
    saes = [config for config in configs if config.sae is not None and config.sae.model_run is not None]
    return group_by_stream(saes, len(saes)) if saes else []


def forward_flops(stream: Sequence[RunConfig]) -> int:
    """Returns the FLOPs of the forward passes that compute a stream: of the layers up to the deepest that is read.

    Args:
        stream: Its autoencoders.
    """
    deepest = max(config.sae.layer for config in stream if config.sae is not None)
    longest = max(stream, key=lambda config: config.tokens)
    parts = training_flops(
        longest.model, longest.data.length, longest.sequences(longest.steps), longest.batch, longest.data.layout
    )
    forward = sum(
        flops for part, flops in parts.items()
        if part.endswith("_forward") and not part.startswith(NOT_READ)
    )  # fmt: skip
    return forward * (deepest + 1) // longest.model.layers


def activation_cost(configs: Sequence[RunConfig], remaining: Sequence[RunConfig]) -> dict[str, int]:
    """Returns the number of streams and the FLOPs of their forward passes, and of those that remain; empty without.

    Args:
        configs: All runs of a plan.
        remaining: Those without a result.
    """
    every = streams(configs)
    if not every:
        return {}
    return {
        "streams": len(every),
        "flops_activations": sum(map(forward_flops, every)),
        "flops_activations_left": sum(map(forward_flops, streams(remaining))),
    }
