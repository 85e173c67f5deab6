"""What this machine is best used by: child processes and their cores, packs; and which runs go to which child."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from scaling.config.run import RunConfig, prefix_id, run_id
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import shared_steps

ACCELERATORS = ("/dev/nvidia0", "/dev/accel0", "/dev/vfio/0")
WORKER_BYTES = 2 << 30  # of memory free, for one child more
PACK = 8  # runs of a pack on an accelerator
FEW = 100  # trunks: more are even enough as they are dealt
# Measured on a core at widths 16 to 80: as long as so many FLOPs take there, a step takes beside its own, each score of
# its attention, a run beside its steps (a checkpoint, the evaluation), and a trunk before its first (compilation).
STEP_FLOPS, SCORE_FLOPS, RUN_FLOPS, SHAPE_FLOPS = 1.2e8, 240, 1.3e11, 5.2e11


def useful_workers() -> int:
    """Children that this machine is best used by: one a core, as memory allows; one where there is an accelerator."""
    if accelerator():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    known = Path("/proc/meminfo")
    lines = known.read_text().splitlines() if known.exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), WORKER_BYTES)
    return max(1, min(cores, free // WORKER_BYTES))


def accelerator() -> bool:
    """Whether JAX will find more than a CPU here, told without it."""
    asked = os.environ.get("JAX_PLATFORMS", "")
    return asked != "cpu" and bool(asked or any(Path(device).exists() for device in ACCELERATORS))


def useful_pack() -> tuple[int, str]:
    """Runs of a pack that pay on this machine, 0 where none do, and why."""
    if accelerator():
        return PACK, "small runs leave most of an accelerator idle"
    return 0, "a pack's runs take turns on a CPU, and blocks of steps spare the dispatches; --pack SIZE makes them"


def shares(
    configs: Sequence[RunConfig], workers: int, packs: Sequence[Sequence[str]] = (), starts: Sequence[int] | None = None
) -> list[frozenset[str]]:
    """The runs of each worker, of runs in order of execution: trunks and packs whole, the work as even as can be.

    The longest first to whoever has least to do; where they are few, exchanged as long as that makes it more even.
    starts: `shared_steps(configs)`, where it is known.
    """
    pack_of = {name: f"pack {i}" for i, names in enumerate(packs) for name in names}
    groups: dict[str, list[str]] = {}
    times: dict[str, float] = {}
    for config, start in zip(configs, shared_steps(configs) if starts is None else starts, strict=True):
        group = pack_of.get(run_id(config)) or prefix_id(config, 0)
        groups.setdefault(group, []).append(run_id(config))
        times[group] = times.get(group, SHAPE_FLOPS) + RUN_FLOPS + step_time(config) - step_time(config, start)
    dealt: list[set[str]] = [set() for _ in range(max(1, min(workers, len(groups))))]
    loads = [0.0] * len(dealt)
    for group in sorted(groups, key=lambda group: -times[group]):
        least = loads.index(min(loads))
        loads[least] += times[group]
        dealt[least].add(group)
    while len(dealt) < len(groups) <= FEW and evened(dealt, times):
        pass
    return [frozenset(name for group in own for name in groups[group]) for own in dealt]


def evened(dealt: list[set[str]], times: dict[str, float]) -> bool:
    """Whether the longest worker got shorter by an exchange of one group, or none, for one of another worker's."""
    load = [sum(times[group] for group in own) for own in dealt]
    longest = load.index(max(load))
    best, found = load[longest], None
    for other in set(range(len(dealt))) - {longest}:
        for mine, theirs in itertools.product(sorted(dealt[longest]), [*sorted(dealt[other]), None]):
            moved = times[mine] - (times[theirs] if theirs is not None else 0.0)
            longer = max(load[longest] - moved, load[other] + moved)
            if longer < best * (1 - 1e-9):
                best, found = longer, (other, mine, theirs)
    if found is None:
        return False
    other, mine, theirs = found
    dealt[longest] ^= {mine} | ({theirs} if theirs is not None else set())
    dealt[other] ^= {mine} | ({theirs} if theirs is not None else set())
    return True


def step_time(config: RunConfig, steps: int | None = None) -> float:
    """Some time that a run's first steps (all) take on a core, in FLOPs, with what steps and scores cost besides."""
    steps = config.steps if steps is None else steps
    scores = config.sequences(steps) * config.model.layers * config.model.heads * config.data.length**2
    return float(flops_until(config, steps) + steps * STEP_FLOPS + scores * SCORE_FLOPS)


def divided(workers: int) -> list[frozenset[int] | None]:
    """The cores of each worker: all divided evenly; None where they are one's, or not to be chosen here."""
    if workers == 1 or not hasattr(os, "sched_setaffinity"):
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < workers:
        return [None] * workers
    return [frozenset(cores[len(cores) * i // workers : len(cores) * (i + 1) // workers]) for i in range(workers)]
