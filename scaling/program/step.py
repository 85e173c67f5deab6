"""The pure functions of one training program: initialise, step, evaluate. Runs of one shape share them.

Axes: B sequences, X columns of a batch, M inputs of an encoder, L positions with a loss, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.objective import WindowLayout
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention.kernels import select_kernel
from scaling.models.attention.positions import document_ids
from scaling.models.encoder_decoder import EncoderDecoder
from scaling.models.loss import sequence_scores, training_loss
from scaling.models.transformer import ForwardOptions, Transformer
from scaling.program.optimizer import clip_by_global_norm, make_optimizer

State = dict[str, Any]  # {"params", "opt"}: pure trees of arrays


@dataclass(frozen=True)
class ProgramShape:
    """Everything that a compiled program depends on; runs with equal shapes share one program.

    Attributes:
        model: The model.
        optimizer: The optimiser; its learning rate is 1, because a step takes the rate as an argument.
        batch: Sequences of a batch, B.
        layout: What the objective makes of a window.
        dtype: Type of matrix products and activations.
        scan: Whether the layers run in a `lax.scan`, which compiles one of them.
        remat: Which activations the backward pass recomputes.
        axes: Sizes of the mesh axes, in the order of `sharding.MESH_AXES`.
        document_end: Token at which attention is cut; None where documents are not separated.
        attention: Attention kernel.
        microbatches: Microbatches that a batch is computed in, one after the other.
        block: Steps of one dispatch.
    """

    model: ModelConfig
    optimizer: OptimizerConfig
    batch: int
    layout: WindowLayout
    dtype: str
    scan: bool
    remat: str
    axes: tuple[int, ...]
    document_end: int | None
    attention: str
    microbatches: int = 1
    block: int = 1


def compute_dtype(precision: str) -> str:
    """Returns the type of matrix products and activations: `auto` is bfloat16 on accelerators, float32 on CPU."""
    if precision != "auto":
        return precision
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def program_shape(config: RunConfig, placement: Placement, axes: tuple[int, ...]) -> ProgramShape:
    """Returns the shape of a run's program.

    Args:
        config: The run.
        placement: Where and how it is computed.
        axes: Sizes of the mesh axes.

    Raises:
        ConfigError: The microbatch does not fit the run.
    """
    return ProgramShape(
        model=config.model,
        optimizer=dataclasses.replace(config.optimizer, lr=1.0),
        batch=config.batch,
        layout=config.data.layout,
        dtype=compute_dtype(config.precision),
        scan=jax.default_backend() != "cpu" if placement.scan is None else placement.scan,
        remat=placement.remat,
        axes=axes,
        document_end=config.data.document_end,
        attention=select_kernel(placement.attention, jax.default_backend()),
        microbatches=count_microbatches(config, placement, axes),
    )


def count_microbatches(config: RunConfig, placement: Placement, axes: tuple[int, ...]) -> int:
    """Returns how many microbatches a batch is computed in.

    Args:
        config: The run.
        placement: Its `microbatch` is the sequences of one, 0 for the whole batch.
        axes: Sizes of the mesh axes.

    Raises:
        ConfigError: The microbatches would differ in size, or give other numbers than the whole batch.
    """
    size = placement.microbatch
    named_axes = zip(axes, sharding.MESH_AXES, strict=True)
    row_devices = math.prod(devices for devices, axis in named_axes if axis in sharding.BATCH_AXES)
    if not size or size >= config.batch:
        return 1
    if config.batch % size or size % row_devices:
        raise ConfigError(
            f"Placement.microbatch = {size}: must divide RunConfig.batch = {config.batch} and be a multiple of the "
            f"{row_devices} data, fsdp and expert devices"
        )
    if config.model.experts and config.model.balance_loss:
        raise ConfigError(
            f"Placement.microbatch = {size}: the balance loss of experts is defined on a whole batch, not as a mean "
            "over microbatches: leave microbatch out, or set model.balance_loss = 0"
        )
    return config.batch // size


def init_model(model: ModelConfig, rngs: nnx.Rngs) -> Transformer | EncoderDecoder:
    """Returns the initialised model.

    Args:
        model: The model's configuration.
        rngs: Source of the random initial values.
    """
    return (Transformer if model.kind == "decoder" else EncoderDecoder)(model, rngs=rngs)


def loss_function(graph: Any, shape: ProgramShape) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """Returns loss(params, tokens_BX) -> (objective, metrics), float32 means over the batch in nats per token.

    The metrics are the plain cross-entropy as `loss` and, of models with experts, their auxiliary losses and the share
    of dropped assignments.

    Args:
        graph: Graph definition of the model (nnx.split).
        shape: Shape of the program.
    """
    z_loss, model = shape.optimizer.z_loss, shape.model

    def loss(params: Any, tokens_BX: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        merged = nnx.merge(graph, params)
        x_BLD, targets_BL, aux = head_inputs(merged, shape, tokens_BX, remat=shape.remat)
        total, cross_entropy = training_loss(x_BLD, merged.head_matrix(), targets_BL, model.final_softcap, z_loss)
        if aux:
            total += model.balance_loss * aux["balance_loss"] + model.router_z_loss * aux["router_z_loss"]
        return total, {"loss": cross_entropy, **aux}

    return loss


def head_inputs(
    model: Transformer | EncoderDecoder, shape: ProgramShape, tokens_BX: jax.Array, remat: str = "none"
) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """Runs the model up to its output head.

    A decoder reads tokens_BX[:, :-1]; of examples only the answer is returned.

    Args:
        model: The model.
        shape: Shape of the program.
        tokens_BX: Rows of a batch, int32.
        remat: Which activations the backward pass recomputes.

    Returns:
        The activations that the head reads (B, L, D) in the type of the program, the target tokens int32 (B, L), and
        auxiliary values of experts.
    """
    options = ForwardOptions(jnp.dtype(shape.dtype), shape.scan, remat, shape.attention)
    if isinstance(model, EncoderDecoder):
        return *encoder_head_inputs(model, shape, tokens_BX, options), {}
    inputs_BL, end = tokens_BX[:, :-1], shape.document_end
    segments_BL = None if end is None else document_ids(inputs_BL, end)
    x_BLD, aux = model.hidden_states(inputs_BL, segments_BL, options)
    if shape.layout.answers:
        return x_BLD[:, -shape.layout.scored :], tokens_BX[:, -shape.layout.scored :], aux
    return x_BLD, tokens_BX[:, 1:], aux


def encoder_head_inputs(
    model: EncoderDecoder, shape: ProgramShape, tokens_BX: jax.Array, options: ForwardOptions
) -> tuple[jax.Array, jax.Array]:
    """Runs a model with an encoder up to its output head, on corrupted windows (scaling/data/corruption.py).

    Args:
        model: The model.
        shape: Shape of the program.
        tokens_BX: Rows of a batch, int32.
        options: How the forward pass is computed.

    Returns:
        The activations that the head reads (B, L, D), of an encoder alone at the masked positions; and the target
        tokens int32 (B, L).
    """
    layout = shape.layout
    inputs_BM, rest = tokens_BX[:, : layout.inputs], tokens_BX[:, layout.inputs :]
    if model.decoder is None:
        positions_BL, targets_BL = rest[:, : layout.scored], rest[:, layout.scored :]
        x_BMD = model.hidden_states(inputs_BM, options=options)
        return jnp.take_along_axis(x_BMD, positions_BL[:, :, None], axis=1), targets_BL
    start_B1 = jnp.full_like(rest[:, :1], shape.model.vocab - layout.specials)
    outputs_BL = jnp.concatenate([start_B1, rest[:, :-1]], axis=1)
    return model.hidden_states(inputs_BM, outputs_BL, options=options), rest


def accumulate_gradients(loss: Callable[..., Any], microbatches: int) -> Callable[[Any, jax.Array], Any]:
    """Returns value_and_grad of a mean over the batch, computed as the mean over microbatches in sequence.

    Args:
        loss: loss(params, tokens_BX) -> (objective, metrics).
        microbatches: Number of microbatches; the activations of one are in memory at a time.
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    if microbatches == 1:
        return value_and_grad

    def gradients(params: Any, tokens_BX: jax.Array) -> Any:
        B, X = tokens_BX.shape
        # (microbatches, B / microbatches, X), each with an equal share of every device's sequences.
        parts = tokens_BX.reshape(B // microbatches, microbatches, X).swapaxes(0, 1)
        parts = sharding.constrain_sharding(parts, None, sharding.BATCH_AXES, None)
        shapes = jax.eval_shape(value_and_grad, params, parts[0])
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def add(total: Any, part: jax.Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, value_and_grad(params, part)), None

        total, _ = jax.lax.scan(add, zeros, parts)
        return jax.tree.map(lambda leaf: leaf / microbatches, total)

    return gradients


@dataclass(frozen=True)
class ProgramFunctions:
    """The functions of a program, pure and not compiled.

    Attributes:
        init: init(seed) -> state.
        step: step(state, tokens_BX, lr, **optimizer_numbers) -> (state, metrics). The numbers replace those of the
            optimiser's configuration by scalar arrays (runs of a pack each have their own).
        evaluate: evaluate(params, tokens_BX) -> scores by name, each (B,).
    """

    init: Callable[[Any], State]
    step: Callable[..., tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[Any, jax.Array], dict[str, jax.Array]]


def program_functions(shape: ProgramShape) -> ProgramFunctions:
    """Returns the functions of the programs of one shape."""
    graph = nnx.split(nnx.eval_shape(lambda: init_model(shape.model, nnx.Rngs(0))))[0]
    gradients = accumulate_gradients(loss_function(graph, shape), shape.microbatches)

    def init(seed: jax.Array) -> State:
        key = jax.random.key(seed, impl="threefry2x32")  # the same numbers on any number of devices
        params = nnx.to_pure_dict(nnx.state(init_model(shape.model, nnx.Rngs(params=key))))
        return {"params": params, "opt": make_optimizer(shape.optimizer, shape.model).init(params)}

    def step(
        state: State, tokens: jax.Array, lr: jax.Array, **optimizer_numbers: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        (_, metrics), grads = gradients(state["params"], tokens)
        grads, norm = clip_by_global_norm(grads, shape.optimizer.clip)
        optimizer = make_optimizer(shape.optimizer, shape.model, **optimizer_numbers)
        updates, opt = optimizer.update(grads, state["opt"], state["params"])
        params = jax.tree.map(lambda p, u: p - lr * u, state["params"], updates)
        return {"params": params, "opt": opt}, {**metrics, "grad_norm": norm}

    def evaluate(params: Any, tokens: jax.Array) -> dict[str, jax.Array]:
        merged = nnx.merge(graph, params)
        x_BLD, targets_BL, _ = head_inputs(merged, shape, tokens)
        loss_B, accuracy_B = sequence_scores(x_BLD, merged.head_matrix(), targets_BL, shape.model.final_softcap)
        return {"loss": loss_B} | ({"accuracy": accuracy_B} if shape.layout.answers else {})

    return ProgramFunctions(init, step, evaluate)
