"""A sweep as a graph: trunks, the branches that leave them, and packs of runs of one shape; and what each saves.

A branch starts from the checkpoint that a shorter run of its trunk leaves at the start of its decay: the steps before
are not computed again. A pack is trained as one program (scaling/training/packs/loop.py): its runs share a process, a
compilation and
each step's dispatch. Against both stands one process a run, which computes everything itself. Plain data, no jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling.config.run import RunConfig
from sweeps.errors import SweepError
from sweeps.planning.plan import prefix_id, run_id, shape, shared_steps

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Branch:
    """A run that starts from a checkpoint another leaves."""

    run_id: str
    step: int  # that it starts from
    of: str  # run_id of the run that leaves it


@dataclass(frozen=True)
class Graph:
    """Runs by run_id. A trunk's runs are in order of execution, the first from scratch."""

    trunks: list[list[str]]
    branches: list[Branch]
    packs: list[list[str]]  # of two runs or more, in order


def graph(configs: Sequence[RunConfig], pack: int = 0, starts: Sequence[int] | None = None) -> Graph:
    """The graph of runs in order of execution.

    pack: runs of a pack, at most; 0 or 1: none. starts: `shared_steps(configs)`, where it is known.
    """
    if pack < 0:
        raise SweepError(f"--pack {pack}: must be 1 or more, or --no-pack")
    trunks: dict[str, list[str]] = {}
    kept: dict[tuple[int, str], str] = {}  # who leaves the checkpoint of a step and prefix
    branches = []
    for config, start in zip(configs, starts or shared_steps(configs), strict=True):
        name = run_id(config)
        trunks.setdefault(prefix_id(config, 0), []).append(name)
        if start:
            branches.append(Branch(name, start, kept[start, prefix_id(config, start)]))
        kept.setdefault((config.decay_start, prefix_id(config, config.decay_start)), name)
    branched = {branch.run_id for branch in branches}
    carrying = [names for names in trunks.values() if branched.intersection(names)]
    sharing = {name for names in carrying for name in names}
    return Graph(carrying, branches, packs([c for c in configs if run_id(c) not in sharing], pack))


def packs(configs: Sequence[RunConfig], size: int) -> list[list[str]]:
    """The packs that `train --pack` makes of runs that share no trunk (scaling/training/packs/program.py), lone runs
    left out."""
    shapes: dict[Any, list[str]] = {}
    for config in sorted(configs, key=lambda config: config.steps) if size > 1 else []:
        if not config.schedule.batch_ramp:
            shapes.setdefault(alike(config), []).append(run_id(config))
    cut = [names[i : i + size] for names in shapes.values() for i in range(0, len(names), size)]
    return [names for names in cut if len(names) > 1]


def alike(config: RunConfig) -> tuple[object, ...]:
    """Equal for runs that one pack can hold: rate, decay, seed, schedule, length and text of a run are its own."""
    plain = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, weight_decay=0.0))
    return (*shape(plain), config.data.document_end)
