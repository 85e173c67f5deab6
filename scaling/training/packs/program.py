"""The compiled program of a pack: one run's functions, mapped over a run axis that lies over the devices.

Axes: R runs (places of the pack), B batch, L positions.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.program import compile_cache, cpu_memory
from scaling.program.step import Program, Shape, State, functions, scratch, shape_of

RUN = "run"  # axis of the mesh
NUMBERS = ("weight_decay",)  # of the optimiser: those that may differ within a pack, beside the learning rate


@dataclass(frozen=True)
class PackProgram(Program):
    """init(seed_R) -> state; step(state, tokens_RBL, lr_R, numbers) -> (state, metrics of (R,)); evaluate(params,
    tokens_RBL) -> scores, (R, B). `abstract` is one run's, on one device; `batch_sharding` is of all that has a run
    axis; numbers: a dict of (R,) float32."""

    numbers: tuple[str, ...]  # that `step` takes
    runs: int  # places: runs, and as many idle ones as make them divide over the devices


@dataclass(frozen=True)
class PackShape:
    """All that the compiled program depends on."""

    run: Shape
    numbers: tuple[str, ...]  # that differ within the pack; equal ones are constants, as in a run alone
    runs: int
    devices: int  # along the run axis


def alike(config: RunConfig, placement: Placement) -> Shape:
    """Equal for runs that one pack can hold."""
    if config.schedule.batch_ramp:
        raise ConfigError("schedule.batch_ramp: a run whose batch grows changes its shape, so it is trained alone")
    shape = shape_of(config, placement, (1,) * len(sharding.MESH))
    return having(shape, dict.fromkeys(NUMBERS, 0.0))


def having(shape: Shape, numbers: dict[str, float]) -> Shape:
    """The shape with these numbers of the optimiser."""
    return dataclasses.replace(shape, optimizer=dataclasses.replace(shape.optimizer, **numbers))  # type: ignore[arg-type]


def packs(configs: Sequence[RunConfig], size: int, placement: Placement) -> list[list[RunConfig]]:
    """The runs in packs of at most `size`: of one shape, of like length, in the order in which to train them.

    Of runs that share most of their trajectory the shorter come in an earlier pack, for the others to branch from.
    """
    shapes: dict[Any, list[RunConfig]] = {}
    trunks: dict[str, int] = {}
    for config in sorted({run_id(config): config for config in configs}.values(), key=lambda config: config.steps):
        waits = 0
        if placement.share and placement.keep_branch and 2 * config.decay_start >= config.steps:
            trunk = prefix_id(config, 1)
            waits = trunks[trunk] = trunks.get(trunk, -1) + 1
        alone = config.schedule.batch_ramp
        shapes.setdefault((waits, run_id(config) if alone else alike(config, placement)), []).append(config)
    ordered = sorted(shapes.items(), key=lambda item: item[0][0])
    return [group[i : i + size] for _, group in ordered for i in range(0, len(group), size)]


def pack_program(configs: Sequence[RunConfig], placement: Placement) -> tuple[PackProgram, bool]:
    """The program of these runs, and whether it was compiled now; ConfigError where they do not go together."""
    compile_cache.use(placement)
    shape, *others = (alike(config, placement) for config in configs)
    for config, other in zip(configs[1:], others, strict=True):
        if other != shape:
            raise ConfigError(f"a pack's runs have one shape: {different(shape, other)} (seed {config.seed}) differs")
    numbers = tuple(n for n in NUMBERS if len({getattr(config.optimizer, n) for config in configs}) > 1)
    constant = {n: getattr(configs[0].optimizer, n) for n in NUMBERS if n not in numbers}
    run = having(shape, constant)
    places, devices = layout_of(len(configs), placement)
    before = _compile.cache_info().misses
    compiled = _compile(PackShape(run, numbers, places, devices))
    return compiled, _compile.cache_info().misses > before


def different(a: Any, b: Any) -> str:
    """Names of the fields in which two shapes differ, those of their parts with them."""
    names = []
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if x != y:
            names.append(f"{f.name}.{different(x, y)}" if dataclasses.is_dataclass(x) else f.name)
    return ", ".join(names)


def layout_of(runs: int, placement: Placement) -> tuple[int, int]:
    """Places of a pack, and its devices: one run a device as far as they reach, else evenly."""
    if jax.process_count() > 1:
        raise ConfigError(f"a pack is trained by one process, not by {jax.process_count()} hosts: leave out --pack")
    for name in ("data", "fsdp", "tensor", "expert"):
        over = getattr(placement, name)
        if over > 1:
            raise ConfigError(f"Placement.{name} = {over}: a run of a pack lies on one device: leave it out, or --pack")
    if placement.run > jax.device_count():
        raise ConfigError(f"Placement.run = {placement.run} devices of a pack: there are {jax.device_count()}")
    together = -(-runs // min(runs, placement.run or jax.device_count()))  # runs that share a device
    devices = -(-runs // together)
    return together * devices, devices


def mapped(function: Callable[..., Any], mesh: Mesh, together: int) -> Callable[..., Any]:
    """`function` of one run, over arguments with a leading run axis: each device its own runs, nothing between them.

    Runs that share a device are mapped over; on a CPU they take turns within the step, because XLA's batched products
    run at a third to a half of the rate of plain ones there (width 16 to 64, 8 runs on 2 cores).
    The other axes of the mesh, of one device each, are there for what a model says of its layout.
    """

    def here(*args: Any) -> Any:
        if together > 1 and jax.default_backend() == "cpu":
            return jax.lax.map(lambda of_one: function(*of_one), args)
        if together > 1:
            return jax.vmap(function)(*args)
        out = function(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: x[None], out)

    along = PartitionSpec(RUN)
    return jax.shard_map(here, mesh=mesh, in_specs=along, out_specs=along, axis_names={RUN}, check_vma=False)


@functools.lru_cache(maxsize=16)
def _compile(shape: PackShape) -> PackProgram:
    started = time.perf_counter()
    sizes = (shape.devices, *shape.run.axes)
    grid = np.array(jax.devices()[: shape.devices]).reshape(sizes)
    mesh = Mesh(grid, (RUN, *sharding.MESH), axis_types=(AxisType.Auto,) * len(sizes))
    of, along = functions(shape.run), NamedSharding(mesh, PartitionSpec(RUN))

    def step(state: State, tokens: jax.Array, lr: jax.Array, numbers: dict[str, jax.Array]) -> Any:
        return of.step(state, tokens, lr, **numbers)

    def stacked(of_shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((shape.runs, *of_shape), dtype, sharding=along)

    one = jax.eval_shape(of.init, jax.ShapeDtypeStruct((), jnp.uint32))
    state = jax.tree.map(lambda x: stacked(x.shape, x.dtype), one)
    tokens, number = stacked((shape.run.batch, shape.run.parts.columns), jnp.int32), stacked((), jnp.float32)
    numbers = dict.fromkeys(shape.numbers, number)
    to = functools.partial(mapped, mesh=mesh, together=shape.runs // shape.devices)
    with jax.set_mesh(mesh):
        compiled_init = jax.jit(to(of.init))
        lowered = jax.jit(to(step), donate_argnums=0).lower(state, tokens, number, numbers)
        compiled_step = cpu_memory.build(lowered, scratch(shape.run, mesh) * shape.runs // shape.devices)
        compiled_evaluate = jax.jit(to(of.evaluate)).lower(state["params"], tokens).compile()

    def start(seeds: Any) -> State:
        with jax.set_mesh(mesh):
            return compiled_init(jax.device_put(np.asarray(seeds, np.uint32), along))

    home = SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=home), one)
    seconds = time.perf_counter() - started
    programs = (start, compiled_step, compiled_evaluate)
    return PackProgram(mesh, abstract, along, *programs, seconds, shape.numbers, shape.runs)
