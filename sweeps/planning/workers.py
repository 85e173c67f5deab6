"""Child processes of the local engine: their number, cores and runs, and the default pack size."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from scaling.config.run import RunConfig, run_id
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import shared_steps
from sweeps.planning.streams import worker_groups

ACCELERATORS = ("/dev/nvidia0", "/dev/accel0", "/dev/vfio/0")
WORKER_BYTES = 2 << 30  # free memory that each child needs
PACK_SIZE = 8  # default runs per pack on an accelerator
MAX_GROUPS_TO_BALANCE = 100  # more groups are balanced well enough by the greedy assignment
# Overheads measured on one core at widths 16 to 80, as the number of FLOPs that take the same time: per step, per
# attention score, per run (checkpoint, evaluation), and per trunk (compilation).
STEP_FLOPS, SCORE_FLOPS, RUN_FLOPS, SHAPE_FLOPS = 1.2e8, 240, 1.3e11, 5.2e11


def default_workers() -> int:
    """Returns the default number of children: one per core, limited by the free memory; one with an accelerator."""
    if has_accelerator():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), WORKER_BYTES)
    return max(1, min(cores, free // WORKER_BYTES))


def has_accelerator() -> bool:
    """Whether JAX will find an accelerator, without importing JAX."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return platforms != "cpu" and bool(platforms or any(Path(device).exists() for device in ACCELERATORS))


def default_pack_size() -> tuple[int, str]:
    """Returns the default number of runs per pack on this machine, 0 for no packs, and the reason."""
    if has_accelerator():
        return PACK_SIZE, "small runs use a fraction of an accelerator"
    return 0, "vectorised training of runs of one shape gains nothing on a CPU; --pack SIZE enables it"


def assign_runs(
    configs: Sequence[RunConfig], workers: int, packs: Sequence[Sequence[str]] = (), starts: Sequence[int] | None = None
) -> list[frozenset[str]]:
    """Distributes runs over workers with as even work as possible; the runs of a trunk or pack stay together.

    Sparse autoencoders stay with their model. Groups are assigned, longest first, to the worker with the least work;
    then single groups are exchanged as long as this shortens the longest worker.

    Args:
        configs: Runs in order of execution.
        workers: Number of workers.
        packs: Runs of each pack, by run id.
        starts: Step from which each run starts (`Plan.starts`), computed unless given.

    Returns:
        The run ids of each worker.
    """
    pack_of = {name: f"pack {i}" for i, names in enumerate(packs) for name in names}
    labels = worker_groups(configs)
    groups: dict[str, list[str]] = {}
    times: dict[str, float] = {}
    for config, start in zip(configs, shared_steps(configs) if starts is None else starts, strict=True):
        model = config.sae.model_run if config.sae else None
        group = pack_of.get(model or run_id(config)) or labels[run_id(config)]
        groups.setdefault(group, []).append(run_id(config))
        times[group] = (
            times.get(group, SHAPE_FLOPS) + RUN_FLOPS + estimated_work(config) - estimated_work(config, start)
        )
    assigned: list[set[str]] = [set() for _ in range(max(1, min(workers, len(groups))))]
    loads = [0.0] * len(assigned)
    for group in sorted(groups, key=lambda group: -times[group]):
        worker = loads.index(min(loads))
        loads[worker] += times[group]
        assigned[worker].add(group)
    while len(assigned) < len(groups) <= MAX_GROUPS_TO_BALANCE and move_to_balance(assigned, times):
        pass
    return [frozenset(name for group in share for name in groups[group]) for share in assigned]


def move_to_balance(assigned: list[set[str]], times: dict[str, float]) -> bool:
    """Moves a group from the longest worker to another, or swaps two groups; returns whether this shortened it.

    Args:
        assigned: Groups of each worker, changed in place.
        times: Estimated work of each group.
    """
    load = [sum(times[group] for group in share) for share in assigned]
    longest = load.index(max(load))
    best, best_swap = load[longest], None
    for target in set(range(len(assigned))) - {longest}:
        for group, returned in itertools.product(sorted(assigned[longest]), [*sorted(assigned[target]), None]):
            moved = times[group] - (times[returned] if returned is not None else 0.0)
            maximum = max(load[longest] - moved, load[target] + moved)
            if maximum < best * (1 - 1e-9):
                best, best_swap = maximum, (target, group, returned)
    if best_swap is None:
        return False
    target, group, returned = best_swap
    exchanged = {group} | ({returned} if returned is not None else set())
    assigned[longest] ^= exchanged
    assigned[target] ^= exchanged
    return True


def estimated_work(config: RunConfig, steps: int | None = None) -> float:
    """Estimates the time of a run's first steps on one core, in FLOPs, including overheads of steps and attention.

    Args:
        config: The run.
        steps: Number of steps, all unless given.
    """
    steps = config.steps if steps is None else steps
    scores = config.sequences(steps) * config.model.layers * config.model.heads * config.data.length**2
    scores = 0 if config.sae else scores
    return float(flops_until(config, steps) + steps * STEP_FLOPS + scores * SCORE_FLOPS)


def divide_cores(workers: int) -> list[frozenset[int] | None]:
    """Divides the cores evenly among workers; None for each if there is one worker or cores cannot be assigned."""
    if workers == 1 or not hasattr(os, "sched_setaffinity"):
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < workers:
        return [None] * workers
    return [frozenset(cores[len(cores) * i // workers : len(cores) * (i + 1) // workers]) for i in range(workers)]
