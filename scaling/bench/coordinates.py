"""Coordinate check: growth of activations, and of their change by training, with width or depth (Yang 2022, D.1).

Axes: B sequences, L positions, D width. The tokens are random: nine times in ten a token is followed by its image under
a fixed permutation, which a model learns within a few steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError

Row = dict[str, Any]
FOLLOW_SHARE = 0.9  # share of tokens that follow the permutation
SIZE_FIELDS = {"widths": "width", "depths": "layers"}
DEFAULT_PARAMETRIZATIONS = {
    "widths": "standard,mup",
    "depths": "mup,completep",
}  # compared by default


def resized_config(config: RunConfig, parametrization: str, kind: str, size: int, base: int) -> RunConfig:
    """Returns the config with its model at another width or depth.

    Args:
        config: The run.
        parametrization: standard, mup or completep.
        kind: "widths" (the size of heads stays) or "depths".
        size: The width or the number of layers.
        base: Base width or depth for a config without one: the smallest measured size.
    """
    model = config.model
    fields: dict[str, Any] = {"base_width": None, "base_depth": None, "base_head": None, "layers": size}
    if kind == "widths":
        fields |= {"layers": model.layers, **wider_fields(model, size)}
    if parametrization != "standard":
        fields |= {"base_width": model.base_width or (base if kind == "widths" else model.width)}
        fields |= {"base_head": model.base_head}
    if parametrization == "completep":
        fields |= {"base_depth": model.base_depth or (base if kind == "depths" else model.layers)}
    return dataclasses.replace(config, model=dataclasses.replace(model, parametrization=parametrization, **fields))


def wider_fields(model: ModelConfig, width: int) -> dict[str, Any]:
    """Returns the fields of a model at another width; heads and hidden units grow in proportion.

    Args:
        model: The model.
        width: Width of the model.
    """
    proportional = {"heads": model.heads, "kv_heads": model.kv, "mlp_width": model.mlp_width}
    for name, count in proportional.items():
        if count * width % model.width:
            raise ConfigError(
                f"--widths {width}: {name} = {count} at width {model.width} would not be an integer at this width: "
                "must be a multiple of the config's width"
            )
    return {"width": width, **{name: count * width // model.width for name, count in proportional.items()}}


def measure_activations(config: RunConfig, steps: int) -> list[Row]:
    """Measures activations on one batch after each training step.

    Args:
        config: The run.
        steps: Training steps at the peak learning rate.

    Returns:
        A row per step and activation: its RMS (size), and the RMS of its change since step 0 (change).

    Raises:
        ConfigError: The run diverges.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from scaling.models.transformer import Transformer
    from scaling.program.build import build_program

    compiled, _ = build_program(config, Placement(data=1))
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(config.model, rngs=nnx.Rngs(0))))[0]
    batches = random_batches(config)
    probe_BL = next(batches)[:, :-1]
    probe = jax.jit(lambda params: activations(nnx.merge(graph, params), probe_BL))

    def rms(x: Any) -> float:
        return float(jnp.sqrt(jnp.mean(jnp.square(x))))

    state = compiled.init(config.seed)
    first, rows = probe(state["params"]), []
    for step in range(steps + 1):
        after = probe(state["params"])
        rows += [{"step": step, "name": n, "size": rms(after[n]), "change": rms(after[n] - first[n])} for n in after]
        if not all(np.isfinite(row["size"]) for row in rows):
            raise ConfigError(
                f"OptimizerConfig.lr = {config.optimizer.lr}: diverged in step {step} at width {config.model.width}, "
                f"{config.model.layers} layers, {config.model.parametrization}: choose a lower learning rate"
            )
        placed = jax.device_put(next(batches), compiled.batch_sharding)
        state, _ = compiled.step(state, placed, np.float32(config.optimizer.lr))
    return rows


def random_batches(config: RunConfig) -> Iterator[Any]:
    """Yields batches of tokens, int32 (B, L + 1), from the config's seed."""
    import numpy as np

    rng, vocab = np.random.default_rng(config.seed), config.model.vocab
    successor = rng.permutation(vocab)
    while True:
        out_BL = rng.integers(0, vocab, (config.batch, config.data.length + 1))
        follows_BL = rng.random(out_BL.shape) < FOLLOW_SHARE
        for i in range(1, out_BL.shape[1]):
            out_BL[:, i] = np.where(follows_BL[:, i], successor[out_BL[:, i - 1]], out_BL[:, i])
        yield out_BL.astype(np.int32)


def activations(model: Any, tokens_BL: Any) -> dict[str, Any]:
    """Returns the residual stream after embedding, first and last layer, (B, L, D), and the logits, by name.

    Args:
        model: The model.
        tokens_BL: Tokens, int32 (B, L).
    """
    import jax.numpy as jnp
    from flax import nnx

    from scaling.models.attention import positions
    from scaling.models.attention.attention import TokenPositions
    from scaling.models.transformer import unstack_layers

    place = TokenPositions(positions.segment_positions(tokens_BL.shape[1], None))
    x_BLD = model.embed(tokens_BL, place, jnp.float32)
    named = {"embedding": x_BLD}
    graph, stacked = nnx.split(model.blocks)
    for state, window in zip(unstack_layers(stacked, model.config.layers), model.config.windows, strict=True):
        x_BLD, _ = nnx.merge(graph, state)(x_BLD, place, window)
        named.setdefault("first layer", x_BLD)
    return {**named, "last layer": x_BLD, "logits": model(tokens_BL)}


def growth_exponents(rows: list[Row], along: str) -> list[Row]:
    """Fits the growth of each activation with the model's size after the last step.

    Args:
        rows: Rows of `measure_activations`.
        along: Name of the field that grows, width or layers.

    Returns:
        A row per parametrisation and activation: exponents of size and of change; 0 means no growth.
    """
    import numpy as np

    last = max(row["step"] for row in rows)
    out = []
    for key in dict.fromkeys((row["parametrization"], row["name"]) for row in rows):
        series = [row for row in rows if (row["parametrization"], row["name"]) == key and row["step"] == last]
        x = np.log([row[along] for row in series])
        exponents = {
            column: float(np.polyfit(x, np.log([row[column] for row in series]), 1)[0]) for column in ("size", "change")
        }
        out.append({"parametrization": key[0], "name": key[1], **exponents})
    return out


def as_text(rows: list[Row], exponents: list[Row], along: str, steps: int) -> str:
    """Formats the result: for each activation its change at each size, and the exponents of change and size.

    Args:
        rows: Rows of `measure_activations`.
        exponents: Rows of `growth_exponents`.
        along: Name of the field that grows.
        steps: Number of training steps.
    """
    sizes = sorted({row[along] for row in rows})
    head = f"{'':10} {'':12}" + "".join(f"{size:>10}" for size in sizes) + f"{'exponent':>10}{'of size':>10}"
    lines = [f"change of each activation (RMS) in {steps} steps, by {along}, and exponents of {along}", head]
    for slope in exponents:
        key = (slope["parametrization"], slope["name"])
        changes = {
            r[along]: r["change"] for r in rows if (r["parametrization"], r["name"]) == key and r["step"] == steps
        }
        columns = "".join(f"{changes[size]:>10.3g}" for size in sizes)
        lines.append(f"{key[0]:10} {key[1]:12}{columns}{slope['change']:>10.2f}{slope['size']:>10.2f}")
    return "\n".join(lines)
