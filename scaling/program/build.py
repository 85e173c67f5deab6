"""Compilation of a run's program: one compiled program per shape and process, shared by runs of that shape."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.program import compile_cache, cpu_memory, multi_step
from scaling.program.step import ProgramFunctions, ProgramShape, State, program_functions, program_shape


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        mesh: The device mesh.
        abstract: Shapes, types and shardings of the state.
        batch_sharding: Sharding of a batch, int32 (B, X) with X = config.data.layout.columns.
        init: init(seed) -> state.
        step: step(state, tokens, lr) -> (state, metrics); lr is a float32 scalar. The state that is passed is donated:
            its buffers are reused and may not be read afterwards. With `block` above 1 it does several steps, see
            `multi_step.loop_steps`.
        evaluate: evaluate(params, tokens) -> scores, each (B,): `loss` in nats per token and, where the scored
            positions are an answer, `accuracy`, whether all of it is right.
        compile_seconds: Seconds of tracing and compiling.
        block: Largest number of steps of one dispatch.
    """

    mesh: Mesh
    abstract: State
    batch_sharding: NamedSharding
    init: Callable[..., State]
    step: Any
    evaluate: Any
    compile_seconds: float
    block: int = 1


def build_program(config: RunConfig, placement: Placement, *, in_blocks: bool = False) -> tuple[Program, bool]:
    """Builds the program of a run.

    Args:
        config: The run.
        placement: Where and how it is computed.
        in_blocks: Whether a step may do several steps in one dispatch where that is faster.

    Returns:
        The program, and whether it was compiled now: a run of the same shape may have compiled it before.

    Raises:
        ConfigError: The run cannot be laid out over the devices, or the placement does not fit its model.
    """
    compile_cache.configure_cache(placement)
    mesh = sharding.make_mesh(placement)
    sharding.check_batch(mesh, config.batch)
    sharding.check_experts(mesh, config.model.experts)
    if config.model.kind != "decoder" and placement.attention not in ("auto", "xla"):
        raise ConfigError(
            f"Placement.attention = {placement.attention!r}: models with an encoder only have 'xla': leave it out"
        )
    shape = program_shape(config, placement, tuple(mesh.shape[axis] for axis in sharding.MESH_AXES))
    if in_blocks:
        shape = dataclasses.replace(shape, block=multi_step.steps_per_dispatch(config, placement, mesh.size))
    misses = _compile_program.cache_info().misses
    program = _compile_program(shape)
    return program, _compile_program.cache_info().misses > misses


@functools.lru_cache(maxsize=16)
def _compile_program(shape: ProgramShape) -> Program:
    started_at = time.perf_counter()
    data, fsdp, tensor, expert = shape.axes
    mesh = sharding.make_mesh(Placement(data=data, fsdp=fsdp, tensor=tensor, expert=expert))
    functions = program_functions(shape)
    state, tokens, _ = abstract_arguments(shape, mesh, functions)
    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    replicated = NamedSharding(mesh, PartitionSpec())
    with jax.set_mesh(mesh):
        init = jax.jit(functions.init, out_shardings=state_shardings, compiler_options=init_compiler_options())
        step = cpu_memory.compile_step(lower_step(shape, mesh), scratch_bytes(shape, mesh))
        evaluate = jax.jit(functions.evaluate, out_shardings=replicated).lower(state["params"], tokens).compile()

    def init_in_mesh(seed: int) -> State:
        with jax.set_mesh(mesh):
            return init(jnp.uint32(seed))

    return Program(
        mesh=mesh,
        abstract=state,
        batch_sharding=tokens.sharding,
        init=init_in_mesh,
        step=step,
        evaluate=evaluate,
        compile_seconds=time.perf_counter() - started_at,
        block=shape.block,
    )


def abstract_arguments(
    shape: ProgramShape, mesh: Mesh, functions: ProgramFunctions
) -> tuple[State, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Returns shapes, types and shardings of the arguments of a step: state, tokens, learning rate.

    Args:
        shape: Shape of the program.
        mesh: The device mesh.
        functions: Functions of the program.
    """
    shapes = jax.eval_shape(functions.init, jax.ShapeDtypeStruct((), jnp.uint32))
    state = jax.tree.map(
        lambda leaf, layout: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout),
        shapes,
        sharding.tree_shardings(shapes, mesh),
    )
    by_rows, replicated = NamedSharding(mesh, sharding.BATCH_SPEC), NamedSharding(mesh, PartitionSpec())
    tokens = jax.ShapeDtypeStruct((shape.batch, shape.layout.columns), jnp.int32, sharding=by_rows)
    return state, tokens, jax.ShapeDtypeStruct((), jnp.float32, sharding=replicated)


def lower_step(shape: ProgramShape, mesh: Mesh) -> jax.stages.Lowered:
    """Traces and lowers the step, without compiling it; the state is donated.

    Args:
        shape: Shape of the program.
        mesh: The device mesh; its devices need not be attached (ahead-of-time checks).
    """
    functions, replicated = program_functions(shape), NamedSharding(mesh, PartitionSpec())
    state, tokens, lr = abstract_arguments(shape, mesh, functions)
    arguments: tuple[jax.ShapeDtypeStruct, ...] = (tokens, lr)
    step = functions.step
    if shape.block > 1:

        def stack(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((shape.block, *leaf.shape), leaf.dtype, sharding=replicated)

        count = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated)
        arguments, step = (stack(tokens), stack(lr), count), multi_step.loop_steps(step, shape.block)
    out_shardings = (jax.tree.map(lambda leaf: leaf.sharding, state), replicated)
    with jax.set_mesh(mesh):
        return jax.jit(step, donate_argnums=0, out_shardings=out_shardings).lower(state, *arguments)


def scratch_bytes(shape: ProgramShape, mesh: Mesh) -> int:
    """Estimates the bytes of scratch memory of a step on each device.

    Args:
        shape: Shape of the program.
        mesh: The device mesh.
    """
    row_devices = math.prod(mesh.shape[axis] for axis in sharding.BATCH_AXES)
    rows = math.ceil(shape.batch / shape.microbatches / row_devices)
    return cpu_memory.estimate_scratch_bytes(shape.model, rows=rows, length=shape.layout.columns)


def init_compiler_options() -> dict[str, int]:
    """Returns compiler options of the initialisation, which runs once.

    On a CPU a lower optimisation level gives the same bits in a quarter of the time (width 48: 2.2 s instead of 8.0 s).
    """
    return {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
