"""The compiled program of a pack: the functions of one run mapped over a run axis, laid out over the devices.

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
from scaling.program.build import Program, scratch_bytes
from scaling.program.step import ProgramShape, State, program_functions, program_shape

RUN = "run"  # axis of the mesh
NUMBERS = ("weight_decay",)  # optimizer settings, besides the learning rate, that may differ within a pack


@dataclass(frozen=True)
class PackProgram(Program):
    """The functions of a pack of R runs.

    `init(seed_R)` returns the state; `step(state, tokens_RBL, lr_R, numbers)` returns the new state and metrics (R,),
    where `numbers` is a dict of (R,) float32; `evaluate(params, tokens_RBL)` returns scores (R, B). `abstract` is the
    state of one run on one device; `batch_sharding` is that of every array with a run axis.

    Attributes:
        numbers: Names of the optimizer settings that `step` takes.
        runs: Places of the pack, a multiple of the number of devices; places without a run compute unused results.
    """

    numbers: tuple[str, ...] = ()
    runs: int = 1


@dataclass(frozen=True)
class PackShape:
    """Everything the compiled program depends on.

    Attributes:
        run: Shape of one run.
        numbers: Optimizer settings that differ within the pack; equal ones are constants of the program.
        runs: Places of the pack.
        devices: Devices along the run axis.
    """

    run: ProgramShape
    numbers: tuple[str, ...]
    runs: int
    devices: int


def pack_shape(config: RunConfig, placement: Placement) -> ProgramShape:
    """Returns a shape that is equal for runs that can be in one pack; ConfigError for a run that cannot be packed.

    Args:
        config: The run.
        placement: How it is laid out on the devices.
    """
    if config.schedule.batch_ramp:
        raise ConfigError("schedule.batch_ramp: must be empty in a pack: a batch ramp changes the shape of the run")
    shape = program_shape(config, placement, (1,) * len(sharding.MESH_AXES))
    return with_optimizer_numbers(shape, dict.fromkeys(NUMBERS, 0.0))


def with_optimizer_numbers(shape: ProgramShape, numbers: dict[str, float]) -> ProgramShape:
    """Returns the shape with these optimizer settings.

    Args:
        shape: Shape of a run.
        numbers: Value of each setting, by name.
    """
    return dataclasses.replace(shape, optimizer=dataclasses.replace(shape.optimizer, **numbers))  # type: ignore[arg-type]


def group_into_packs(configs: Sequence[RunConfig], size: int, placement: Placement) -> list[list[RunConfig]]:
    """Groups runs into packs of one shape and similar length, in training order.

    If runs share most of their trajectory, the shorter ones are in an earlier pack, so that the others can start from
    their checkpoints.

    Args:
        configs: The runs.
        size: Largest number of runs per pack.
        placement: How the runs are laid out on the devices.

    Returns:
        The packs; a run that cannot share a program is in a pack of its own.
    """
    shapes: dict[Any, list[RunConfig]] = {}
    trunks: dict[str, int] = {}
    for config in sorted({run_id(config): config for config in configs}.values(), key=lambda config: config.steps):
        waits = 0
        if placement.share and placement.keep_branch and 2 * config.decay_start >= config.steps:
            trunk = prefix_id(config, 1)
            waits = trunks[trunk] = trunks.get(trunk, -1) + 1
        alone = config.schedule.batch_ramp or config.init
        shapes.setdefault((waits, run_id(config) if alone else pack_shape(config, placement)), []).append(config)
    ordered = sorted(shapes.items(), key=lambda item: item[0][0])
    return [group[i : i + size] for _, group in ordered for i in range(0, len(group), size)]


def pack_program(configs: Sequence[RunConfig], placement: Placement) -> tuple[PackProgram, bool]:
    """Returns the program of these runs and whether it was compiled now; ConfigError if their shapes differ.

    Args:
        configs: The runs.
        placement: How the runs are laid out on the devices.
    """
    compile_cache.configure_cache(placement)
    shape, *others = (pack_shape(config, placement) for config in configs)
    for config, other in zip(configs[1:], others, strict=True):
        if other != shape:
            raise ConfigError(
                f"runs of a pack must have one shape: {different_fields(shape, other)} (seed {config.seed}) differs"
            )
    numbers = tuple(n for n in NUMBERS if len({getattr(config.optimizer, n) for config in configs}) > 1)
    constant = {n: getattr(configs[0].optimizer, n) for n in NUMBERS if n not in numbers}
    run = with_optimizer_numbers(shape, constant)
    places, devices = pack_layout(len(configs), placement)
    before = _compile.cache_info().misses
    compiled = _compile(PackShape(run, numbers, places, devices))
    return compiled, _compile.cache_info().misses > before


def different_fields(a: Any, b: Any) -> str:
    """Returns the names of the fields in which two shapes differ, nested ones with a dot.

    Args:
        a: A shape.
        b: Another shape.
    """
    names = []
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if x != y:
            names.append(f"{f.name}.{different_fields(x, y)}" if dataclasses.is_dataclass(x) else f.name)
    return ", ".join(names)


def pack_layout(runs: int, placement: Placement) -> tuple[int, int]:
    """Returns the number of places of a pack and of the devices it uses: one run per device if possible, else evenly.

    Args:
        runs: Number of runs.
        placement: How the runs are laid out on the devices.
    """
    if jax.process_count() > 1:
        raise ConfigError(f"--pack: not supported on {jax.process_count()} hosts: remove it")
    for name in ("data", "fsdp", "tensor", "expert"):
        size = getattr(placement, name)
        if size > 1:
            raise ConfigError(
                f"Placement.{name} = {size}: must be 1 in a pack, whose runs each use one device: remove it or --pack"
            )
    if placement.run > jax.device_count():
        raise ConfigError(f"Placement.run = {placement.run}: must be at most the {jax.device_count()} devices")
    together = -(-runs // min(runs, placement.run or jax.device_count()))  # runs that share a device
    devices = -(-runs // together)
    return together * devices, devices


def map_over_runs(function: Callable[..., Any], mesh: Mesh, together: int) -> Callable[..., Any]:
    """Maps the function of one run over a leading run axis; devices do not communicate.

    Runs that share a device are vectorised; on a CPU they are computed one after the other, because XLA's batched
    matrix products reach only a third to a half of the rate of plain ones there (width 16 to 64, 8 runs, 2 cores). The
    other axes of the mesh have one device each; models name them in their sharding constraints.

    Args:
        function: A function of one run.
        mesh: Mesh with the run axis.
        together: Runs per device.

    Returns:
        The function of all runs.
    """

    def on_device(*args: Any) -> Any:
        if together > 1 and jax.default_backend() == "cpu":
            return jax.lax.map(lambda run_args: function(*run_args), args)
        if together > 1:
            return jax.vmap(function)(*args)
        out = function(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: x[None], out)

    along = PartitionSpec(RUN)
    return jax.shard_map(on_device, mesh=mesh, in_specs=along, out_specs=along, axis_names={RUN}, check_vma=False)


@functools.lru_cache(maxsize=16)
def _compile(shape: PackShape) -> PackProgram:
    started = time.perf_counter()
    sizes = (shape.devices, *shape.run.axes)
    grid = np.array(jax.devices()[: shape.devices]).reshape(sizes)
    mesh = Mesh(grid, (RUN, *sharding.MESH_AXES), axis_types=(AxisType.Auto,) * len(sizes))
    functions, along = program_functions(shape.run), NamedSharding(mesh, PartitionSpec(RUN))

    def step(state: State, tokens: jax.Array, lr: jax.Array, numbers: dict[str, jax.Array]) -> Any:
        return functions.step(state, tokens, lr, **numbers)

    def stacked(run_shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((shape.runs, *run_shape), dtype, sharding=along)

    run_state = jax.eval_shape(functions.init, jax.ShapeDtypeStruct((), jnp.uint32))
    state = jax.tree.map(lambda x: stacked(x.shape, x.dtype), run_state)
    tokens, number = stacked((shape.run.batch, shape.run.layout.columns), jnp.int32), stacked((), jnp.float32)
    numbers = dict.fromkeys(shape.numbers, number)
    over_runs = functools.partial(map_over_runs, mesh=mesh, together=shape.runs // shape.devices)
    with jax.set_mesh(mesh):
        compiled_init = jax.jit(over_runs(functions.init))
        lowered = jax.jit(over_runs(step), donate_argnums=0).lower(state, tokens, number, numbers)
        compiled_step = cpu_memory.compile_step(lowered, scratch_bytes(shape.run, mesh) * shape.runs // shape.devices)
        compiled_evaluate = jax.jit(over_runs(functions.evaluate)).lower(state["params"], tokens).compile()

    def start(seeds: Any) -> State:
        with jax.set_mesh(mesh):
            return compiled_init(jax.device_put(np.asarray(seeds, np.uint32), along))

    home = SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=home), run_state)
    seconds = time.perf_counter() - started
    programs = (start, compiled_step, compiled_evaluate)
    return PackProgram(mesh, abstract, along, *programs, seconds, numbers=shape.numbers, runs=shape.runs)
