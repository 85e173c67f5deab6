"""Runs of sparse autoencoders of a model's activations, made from the config of the model's run. No JAX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig, run_id
from scaling.config.sae import ADAM_EPS, SaeConfig, default_learning_rate
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import from_dict, require

TOKENS = 2_000_000  # of a run
BATCH_TOKENS = 4096  # of a step
DECAY = 0.2  # share of the steps in which the learning rate falls to 0
WARMUP = 100  # steps, at most a tenth of all
BETA1 = {"jumprelu": 0.0}  # decay of the mean gradient (Rajamanoharan 2024, appendix I); of other kinds:
DEFAULT_BETA1 = 0.9
BETA2 = 0.999
EVALUATION_TOKENS = 32_768  # held-out tokens


def sae_run(
    model: RunConfig,
    sae: dict[str, Any],
    *,
    tokens: float = TOKENS,
    batch_tokens: int = BATCH_TOKENS,
    lr: float | None = None,
    seed: int = 0,
) -> RunConfig:
    """Returns the run of a sparse autoencoder that reads the text of the model's run.

    Args:
        model: The run of the model, or `activations_template`.
        sae: Fields of SaeConfig; without `model_run`, that of the model.
        tokens: Training tokens; a whole number of steps.
        batch_tokens: Tokens of a step; a whole number of sequences.
        lr: Peak learning rate; None: `default_learning_rate`.
        seed: Seed of the parameters and of the order of the text.

    Raises:
        ConfigError: A field is not valid.
    """
    length = model.data.length
    batch = max(1, round(batch_tokens / length))
    steps = max(1, round(tokens / (batch * length)))
    sae = {"model_run": run_id(model)} | sae
    config = from_dict(SaeConfig, sae, "sae")
    optimizer = OptimizerConfig(
        lr=default_learning_rate(config.latents) if lr is None else lr, beta1=BETA1.get(config.kind, DEFAULT_BETA1),
        beta2=BETA2, eps=ADAM_EPS, weight_decay=0.0, clip=0.0,
    )  # fmt: skip
    return replace(
        model,
        sae=config,
        optimizer=optimizer,
        batch=batch,
        steps=steps,
        schedule=ScheduleConfig(name="wsd", warmup=min(WARMUP, steps // 10), decay=DECAY),
        eval=EvalConfig(sequences=max(1, EVALUATION_TOKENS // length)),
        seed=seed,
        init=None,
        budget=None,
    )


def stream_key(config: RunConfig) -> tuple[Any, ...]:
    """Returns what two autoencoders must have in common to read one stream: model, text, order and batch.

    Args:
        config: A run of an autoencoder.
    """
    sae = config.sae
    assert sae is not None
    return sae.model_run, sae.buffer, config.model, config.data, config.batch, config.seed, config.eval.sequences


def group_by_stream(configs: Sequence[RunConfig], size: int) -> list[list[RunConfig]]:
    """Groups autoencoders that read one stream, in order; a group has at most `size` of them."""
    streams: dict[tuple[Any, ...], list[RunConfig]] = {}
    for config in configs:
        streams.setdefault(stream_key(config), []).append(config)
    return [runs[i : i + size] for runs in streams.values() for i in range(0, len(runs), size)]


def activations_template(name: str, width: int, path: Path) -> RunConfig:
    """Returns a config for `sae_run` whose activations are from a file.

    Only the width of its model is used; its other fields describe the smallest model of that width.

    Args:
        name: Content hash of the file.
        width: Width of the activations.
        path: The file, as given.
    """
    require(width > 0, f"{path}: has no columns")
    model = ModelConfig(vocab=2, width=width, layers=1, heads=1, mlp_width=1, positions="none")
    data = DataConfig(tokens=name, length=1, corpus=f"activations:{path.name}")
    return RunConfig(model=model, data=data, optimizer=OptimizerConfig(lr=1.0), batch=1, steps=1)
