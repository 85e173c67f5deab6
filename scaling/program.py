"""The compiled programs of one shape: initialise, step, evaluate. Runs of one shape share them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling import compile_cache, optim, shard
from scaling.config import ModelConfig, OptimizerConfig, Placement, RunConfig
from scaling.evaluate.loss import sequence_losses, training_loss
from scaling.models.kernels import kernel
from scaling.models.positions import documents
from scaling.models.transformer import Transformer

State = dict[str, Any]  # {"params", "opt"}: pure trees of arrays


@dataclass(frozen=True)
class Program:
    """init(seed) -> state; step(state, tokens, lr) -> (state, metrics); evaluate(params, tokens) -> losses.

    tokens: int32 (B, L + 1); losses: (B,) nats a token; lr: float32 scalar. `step` takes over the state it is given.
    """

    mesh: Mesh
    abstract: State  # shapes, types and shardings of the state
    batch_sharding: NamedSharding
    init: Callable[[int], State]
    step: Any
    evaluate: Any
    compile_seconds: float


@dataclass(frozen=True)
class Shape:
    """All that the compiled program depends on: runs with equal shapes share one."""

    model: ModelConfig
    optimizer: OptimizerConfig
    batch: int
    length: int
    dtype: str
    scan: bool
    remat: str
    axes: tuple[int, ...]  # of the mesh
    document_end: int | None
    attention: str  # kernel: of kernels.KERNELS


def compute_dtype(precision: str) -> str:
    """Type of products and activations: `auto` is bfloat16 on accelerators and float32 on CPU."""
    if precision != "auto":
        return precision
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def shape_of(config: RunConfig, placement: Placement, axes: tuple[int, ...]) -> Shape:
    """What the program of this run depends on, over a mesh of `axes`."""
    scan = jax.default_backend() != "cpu" if placement.scan is None else placement.scan
    return Shape(
        config.model, dataclasses.replace(config.optimizer, lr=1.0), config.batch, config.data.length,
        compute_dtype(config.precision), scan, placement.remat, axes, config.data.document_end,
        kernel(placement.attention, jax.default_backend()),
    )  # fmt: skip


def program(config: RunConfig, placement: Placement) -> tuple[Program, bool]:
    """The program of a run, and whether it was compiled now (else it was there already)."""
    compile_cache.use(placement)
    mesh = shard.make_mesh(placement)
    shard.check_batch(mesh, config.batch)
    shard.check_experts(mesh, config.model.experts)
    shape = shape_of(config, placement, tuple(mesh.shape[a] for a in shard.MESH))
    before = _compile.cache_info().misses
    compiled = _compile(shape)
    return compiled, _compile.cache_info().misses > before


def loss_function(graph: Any, shape: Shape) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """(params, tokens (B, L+1)) -> (what is minimised, what is reported), means over the batch, in nats.

    Reported are the plain cross-entropy as `loss` and, of experts, their losses and the share of choices dropped.
    """
    z_loss, model = shape.optimizer.z_loss, shape.model

    def loss(params: Any, tokens: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        merged = nnx.merge(graph, params)
        x, aux = stream(merged, shape, tokens, remat=shape.remat)
        total, plain = training_loss(x, merged.head(), tokens[:, 1:], model.final_softcap, z_loss)
        if aux:
            total += model.balance_loss * aux["balance_loss"] + model.router_z_loss * aux["router_z_loss"]
        return total, {"loss": plain, **aux}

    return loss


def stream(
    model: Transformer, shape: Shape, tokens: jax.Array, remat: str = "none"
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """What the head reads of tokens[:, :-1], documents kept apart where the run wants it; and what experts report."""
    inputs, end = tokens[:, :-1], shape.document_end
    segments = None if end is None else documents(inputs, end)
    return model.hidden(inputs, segments, jnp.dtype(shape.dtype), shape.scan, remat, shape.attention)


@dataclass(frozen=True)
class Functions:
    """What a program computes, as pure functions that are not compiled yet.

    init(seed) -> state; step(state, tokens, lr, **numbers) -> (state, metrics); evaluate(params, tokens) -> losses.
    numbers: those of the optimiser that stand in place of the shape's own, as scalars.
    """

    init: Callable[[Any], State]
    step: Callable[..., tuple[State, dict[str, jax.Array]]]
    evaluate: Callable[[Any, jax.Array], jax.Array]


def functions(shape: Shape) -> Functions:
    """Initialise, step and evaluate, of one run."""
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(shape.model, rngs=nnx.Rngs(0))))[0]
    loss = loss_function(graph, shape)

    def init(seed: jax.Array) -> State:
        key = jax.random.key(seed, impl="threefry2x32")  # the same numbers on any number of devices
        params = nnx.to_pure_dict(nnx.state(Transformer(shape.model, rngs=nnx.Rngs(params=key))))
        return {"params": params, "opt": optim.optimizer(shape.optimizer, shape.model).init(params)}

    def step(
        state: State, tokens: jax.Array, lr: jax.Array, **numbers: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        (_, report), grads = jax.value_and_grad(loss, has_aux=True)(state["params"], tokens)
        grads, norm = optim.clip(grads, shape.optimizer.clip)
        transform = optim.optimizer(shape.optimizer, shape.model, **numbers)
        updates, opt = transform.update(grads, state["opt"], state["params"])
        params = jax.tree.map(lambda p, u: p - lr * u, state["params"], updates)
        return {"params": params, "opt": opt}, {**report, "grad_norm": norm}

    def evaluate(params: Any, tokens: jax.Array) -> jax.Array:
        merged = nnx.merge(graph, params)
        x, _ = stream(merged, shape, tokens)
        return sequence_losses(x, merged.head(), tokens[:, 1:], shape.model.final_softcap)

    return Functions(init, step, evaluate)


def arguments(shape: Shape, mesh: Mesh, of: Functions) -> tuple[State, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Shapes, types and shardings of what a step takes: state, tokens, learning rate."""
    shapes = jax.eval_shape(of.init, jax.ShapeDtypeStruct((), jnp.uint32))
    layout = shard.shardings(shapes, mesh)
    abstract = jax.tree.map(lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at), shapes, layout)
    rows, whole = NamedSharding(mesh, shard.BATCH), NamedSharding(mesh, PartitionSpec())
    tokens = jax.ShapeDtypeStruct((shape.batch, shape.length + 1), jnp.int32, sharding=rows)
    return abstract, tokens, jax.ShapeDtypeStruct((), jnp.float32, sharding=whole)


def lower_step(shape: Shape, mesh: Mesh) -> jax.stages.Lowered:
    """The step for a mesh of devices, which need not be here, to be compiled."""
    of = functions(shape)
    abstract, tokens, rate = arguments(shape, mesh, of)
    out = (jax.tree.map(lambda leaf: leaf.sharding, abstract), NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        return jax.jit(of.step, donate_argnums=0, out_shardings=out).lower(abstract, tokens, rate)


@functools.lru_cache(maxsize=16)
def _compile(shape: Shape) -> Program:
    started = time.perf_counter()
    data, fsdp, tensor, expert = shape.axes
    mesh = shard.make_mesh(Placement(data=data, fsdp=fsdp, tensor=tensor, expert=expert))
    of = functions(shape)
    abstract, tokens, _ = arguments(shape, mesh, of)
    layout, whole = jax.tree.map(lambda leaf: leaf.sharding, abstract), NamedSharding(mesh, PartitionSpec())
    with jax.set_mesh(mesh):
        compiled_init = jax.jit(of.init, out_shardings=layout)
        compiled_step = lower_step(shape, mesh).compile()
        compiled_evaluate = jax.jit(of.evaluate, out_shardings=whole).lower(abstract["params"], tokens).compile()

    def start(seed: int) -> State:
        with jax.set_mesh(mesh):
            return compiled_init(jnp.uint32(seed))

    seconds = time.perf_counter() - started
    return Program(mesh, abstract, tokens.sharding, start, compiled_step, compiled_evaluate, seconds)
