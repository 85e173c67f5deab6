"""The compiled programs of one shape: initialise, step, evaluate. Runs of one shape share them.

Axes: B sequences, M inputs of an encoder, L positions with a loss, X columns of a batch, D width.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.config.model import ModelConfig
from scaling.config.objective import Parts
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention.kernels import kernel
from scaling.models.attention.positions import documents
from scaling.models.encoder_decoder import EncoderDecoder
from scaling.models.loss import sequence_scores, training_loss
from scaling.models.transformer import Transformer
from scaling.program import compile_cache, cpu_memory, multi_step
from scaling.program import optimizer as optimizer_module

State = dict[str, Any]  # {"params", "opt"}: pure trees of arrays


@dataclass(frozen=True)
class Program:
    """init(seed) -> state; step(state, tokens, lr) -> (state, metrics); evaluate(params, tokens) -> scores.

    tokens: int32 (B, X), X columns of config.data.parts; scores: `loss` (B,), nats a token, and of answers `accuracy`
    (B,), whether all of it is right; lr: float32 scalar. `step` takes over the state it is given.
    One whose block is more than 1 does several: see blocks.looped.
    """

    mesh: Mesh
    abstract: State  # shapes, types and shardings of the state
    batch_sharding: NamedSharding
    init: Callable[[int], State]
    step: Any
    evaluate: Any
    compile_seconds: float
    block: int = field(default=1, kw_only=True)  # steps of one dispatch


@dataclass(frozen=True)
class Shape:
    """All that the compiled program depends on: runs with equal shapes share one."""

    model: ModelConfig
    optimizer: OptimizerConfig
    batch: int
    parts: Parts  # of a window
    dtype: str
    scan: bool
    remat: str
    axes: tuple[int, ...]  # of the mesh
    document_end: int | None
    attention: str  # kernel: of kernels.KERNELS
    microbatches: int = 1  # that a batch is computed in, one after the other
    block: int = 1  # steps of one dispatch


def compute_dtype(precision: str) -> str:
    """Type of products and activations: `auto` is bfloat16 on accelerators and float32 on CPU."""
    if precision != "auto":
        return precision
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def shape_of(config: RunConfig, placement: Placement, axes: tuple[int, ...]) -> Shape:
    """What the program of this run depends on, over a mesh of `axes`."""
    scan = jax.default_backend() != "cpu" if placement.scan is None else placement.scan
    return Shape(
        config.model, dataclasses.replace(config.optimizer, lr=1.0), config.batch, config.data.parts,
        compute_dtype(config.precision), scan, placement.remat, axes, config.data.document_end,
        kernel(placement.attention, jax.default_backend()), microbatches(config, placement, axes),
    )  # fmt: skip


def microbatches(config: RunConfig, placement: Placement, axes: tuple[int, ...]) -> int:
    """How many microbatches a batch is; ConfigError where they are not equal or not the same numbers."""
    size, rows = (
        placement.microbatch,
        math.prod(n for n, axis in zip(axes, sharding.MESH, strict=True) if axis in sharding.ROWS),
    )
    if not size or size >= config.batch:
        return 1
    if config.batch % size or size % rows:
        raise ConfigError(
            f"Placement.microbatch = {size}: must divide RunConfig.batch = {config.batch} and be a multiple of the "
            f"{rows} data, fsdp and expert devices"
        )
    if config.model.experts and config.model.balance_loss:
        raise ConfigError(
            f"Placement.microbatch = {size}: the experts' balance loss is of a whole batch, no mean over its parts: "
            "leave microbatch out, or set model.balance_loss = 0"
        )
    return config.batch // size


def program(config: RunConfig, placement: Placement, *, in_blocks: bool = False) -> tuple[Program, bool]:
    """The program of a run, and whether it was compiled now (else it was there already).

    in_blocks: its step does as many as pay in one dispatch.
    """
    compile_cache.use(placement)
    mesh = sharding.make_mesh(placement)
    sharding.check_batch(mesh, config.batch)
    sharding.check_experts(mesh, config.model.experts)
    if config.model.kind != "decoder" and placement.attention not in ("auto", "xla"):
        raise ConfigError(f"Placement.attention = {placement.attention!r}: an encoder's is 'xla': leave it out")
    shape = shape_of(config, placement, tuple(mesh.shape[a] for a in sharding.MESH))
    if in_blocks:
        shape = dataclasses.replace(shape, block=multi_step.block_of(config, placement, mesh.size))
    before = _compile.cache_info().misses
    compiled = _compile(shape)
    return compiled, _compile.cache_info().misses > before


def network(model: ModelConfig, rngs: nnx.Rngs) -> Transformer | EncoderDecoder:
    """The model, at its start."""
    return (Transformer if model.kind == "decoder" else EncoderDecoder)(model, rngs=rngs)


def loss_function(graph: Any, shape: Shape) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """(params, tokens (B, X)) -> (what is minimised, what is reported), means over the batch, in nats.

    Reported are the plain cross-entropy as `loss` and, of experts, their losses and the share of choices dropped.
    """
    z_loss, model = shape.optimizer.z_loss, shape.model

    def loss(params: Any, tokens: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        merged = nnx.merge(graph, params)
        x, targets, aux = stream(merged, shape, tokens, remat=shape.remat)
        total, plain = training_loss(x, merged.head(), targets, model.final_softcap, z_loss)
        if aux:
            total += model.balance_loss * aux["balance_loss"] + model.router_z_loss * aux["router_z_loss"]
        return total, {"loss": plain, **aux}

    return loss


def stream(
    model: Transformer | EncoderDecoder, shape: Shape, tokens: jax.Array, remat: str = "none"
) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
    """What the head reads, the tokens that it is to tell of it, and what experts report.

    A decoder reads tokens[:, :-1], documents kept apart where the run wants it; of examples the answer alone is told.
    """
    dtype = jnp.dtype(shape.dtype)
    if isinstance(model, EncoderDecoder):
        return *encoded(model, shape, tokens, dtype, remat), {}
    inputs, end = tokens[:, :-1], shape.document_end
    segments = None if end is None else documents(inputs, end)
    x, aux = model.hidden(inputs, segments, dtype, shape.scan, remat, shape.attention)
    if shape.parts.answers:
        return x[:, -shape.parts.scored :], tokens[:, -shape.parts.scored :], aux
    return x, tokens[:, 1:], aux


def encoded(
    model: EncoderDecoder, shape: Shape, tokens_BX: jax.Array, dtype: Any, remat: str
) -> tuple[jax.Array, jax.Array]:
    """The same of corrupted windows (scaling/data/corruption.py): a decoder's stream, or an encoder's at the places
    that are asked for."""
    inputs_BM, rest = tokens_BX[:, : shape.parts.inputs], tokens_BX[:, shape.parts.inputs :]
    if model.decoder is None:
        places_BL, targets_BL = rest[:, : shape.parts.scored], rest[:, shape.parts.scored :]
        x_BMD = model.hidden(inputs_BM, None, None, dtype, shape.scan, remat)
        return jnp.take_along_axis(x_BMD, places_BL[:, :, None], axis=1), targets_BL
    start_BL = jnp.full_like(rest[:, :1], shape.model.vocab - shape.parts.specials)
    outputs_BL = jnp.concatenate([start_BL, rest[:, :-1]], axis=1)
    return model.hidden(inputs_BM, outputs_BL, None, dtype, shape.scan, remat), rest


def accumulated(loss: Callable[..., Any], parts: int) -> Callable[[Any, jax.Array], Any]:
    """value_and_grad of a mean over the batch, as the mean over `parts` microbatches, one in memory at a time."""
    whole = jax.value_and_grad(loss, has_aux=True)
    if parts == 1:
        return whole

    def gradients(params: Any, tokens_BX: jax.Array) -> Any:
        B, X = tokens_BX.shape
        each = tokens_BX.reshape(B // parts, parts, X).swapaxes(0, 1)  # of each device's sequences an equal share
        each = sharding.constrain(each, None, sharding.ROWS, None)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(whole, params, each[0]))
        total, _ = jax.lax.scan(lambda sum, one: (jax.tree.map(jnp.add, sum, whole(params, one)), None), zeros, each)
        return jax.tree.map(lambda sum: sum / parts, total)

    return gradients


@dataclass(frozen=True)
class Functions:
    """What a program computes, as pure functions that are not compiled yet.

    init(seed) -> state; step(state, tokens, lr, **numbers) -> (state, metrics); evaluate(params, tokens) -> scores.
    numbers: those of the optimiser that stand in place of the shape's own, as scalars.
    """

    init: Callable[[Any], State]
    step: Callable[..., tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[Any, jax.Array], dict[str, jax.Array]]


def functions(shape: Shape) -> Functions:
    """Initialise, step and evaluate, of one run."""
    graph = nnx.split(nnx.eval_shape(lambda: network(shape.model, nnx.Rngs(0))))[0]
    gradients = accumulated(loss_function(graph, shape), shape.microbatches)

    def init(seed: jax.Array) -> State:
        key = jax.random.key(seed, impl="threefry2x32")  # the same numbers on any number of devices
        params = nnx.to_pure_dict(nnx.state(network(shape.model, nnx.Rngs(params=key))))
        return {"params": params, "opt": optimizer_module.optimizer(shape.optimizer, shape.model).init(params)}

    def step(
        state: State, tokens: jax.Array, lr: jax.Array, **numbers: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        (_, report), grads = gradients(state["params"], tokens)
        grads, norm = optimizer_module.clip(grads, shape.optimizer.clip)
        transform = optimizer_module.optimizer(shape.optimizer, shape.model, **numbers)
        updates, opt = transform.update(grads, state["opt"], state["params"])
        params = jax.tree.map(lambda p, u: p - lr * u, state["params"], updates)
        return {"params": params, "opt": opt}, {**report, "grad_norm": norm}

    def evaluate(params: Any, tokens: jax.Array) -> dict[str, jax.Array]:
        merged = nnx.merge(graph, params)
        x, targets, _ = stream(merged, shape, tokens)
        losses, right = sequence_scores(x, merged.head(), targets, shape.model.final_softcap)
        return {"loss": losses} | ({"accuracy": right} if shape.parts.answers else {})

    return Functions(init, step, evaluate)


def arguments(shape: Shape, mesh: Mesh, of: Functions) -> tuple[State, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Shapes, types and shardings of what a step takes: state, tokens, learning rate."""
    shapes = jax.eval_shape(of.init, jax.ShapeDtypeStruct((), jnp.uint32))
    layout = sharding.shardings(shapes, mesh)
    abstract = jax.tree.map(lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at), shapes, layout)
    rows, whole = NamedSharding(mesh, sharding.BATCH), NamedSharding(mesh, PartitionSpec())
    tokens = jax.ShapeDtypeStruct((shape.batch, shape.parts.columns), jnp.int32, sharding=rows)
    return abstract, tokens, jax.ShapeDtypeStruct((), jnp.float32, sharding=whole)


def lower_step(shape: Shape, mesh: Mesh) -> jax.stages.Lowered:
    """The step for a mesh of devices, which need not be here, to be compiled."""
    of, whole = functions(shape), NamedSharding(mesh, PartitionSpec())
    abstract, tokens, rate = arguments(shape, mesh, of)
    taken: tuple[jax.ShapeDtypeStruct, ...] = (tokens, rate)
    step = of.step
    if shape.block > 1:

        def several(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((shape.block, *leaf.shape), leaf.dtype, sharding=whole)

        count = jax.ShapeDtypeStruct((), jnp.int32, sharding=whole)
        taken, step = (several(tokens), several(rate), count), multi_step.looped(of.step, shape.block)
    out = (jax.tree.map(lambda leaf: leaf.sharding, abstract), whole)
    with jax.set_mesh(mesh):
        return jax.jit(step, donate_argnums=0, out_shardings=out).lower(abstract, *taken)


def scratch(shape: Shape, mesh: Mesh) -> int:
    """Bytes of scratch memory that a device's step takes, roughly."""
    rows = math.ceil(shape.batch / shape.microbatches / math.prod(mesh.shape[axis] for axis in sharding.ROWS))
    of = shape.model
    return cpu_memory.scratch(rows=rows, length=shape.parts.columns, layers=of.layers, width=of.width, heads=of.heads)


def once() -> dict[str, int]:
    """Compiler options of what runs once: on a CPU the same bits in a quarter of the time (width 48: 2.2 s for 8.0)."""
    return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}


@functools.lru_cache(maxsize=16)
def _compile(shape: Shape) -> Program:
    started = time.perf_counter()
    data, fsdp, tensor, expert = shape.axes
    mesh = sharding.make_mesh(Placement(data=data, fsdp=fsdp, tensor=tensor, expert=expert))
    of = functions(shape)
    abstract, tokens, _ = arguments(shape, mesh, of)
    layout, whole = jax.tree.map(lambda leaf: leaf.sharding, abstract), NamedSharding(mesh, PartitionSpec())
    with jax.set_mesh(mesh):
        compiled_init = jax.jit(of.init, out_shardings=layout, compiler_options=once())
        compiled_step = cpu_memory.build(lower_step(shape, mesh), scratch(shape, mesh))
        compiled_evaluate = jax.jit(of.evaluate, out_shardings=whole).lower(abstract["params"], tokens).compile()

    def start(seed: int) -> State:
        with jax.set_mesh(mesh):
            return compiled_init(jnp.uint32(seed))

    seconds = time.perf_counter() - started
    made = (mesh, abstract, tokens.sharding, start, compiled_step, compiled_evaluate, seconds)
    return Program(*made, block=shape.block)
