"""Trunks, branches and packs of a sweep.

A branch starts from the checkpoint that a shorter run of its trunk saves at the start of its decay, so that earlier
steps are computed only once. A pack is trained as one program (scaling/training/packs/loop.py): its runs share a
process, a compilation and the dispatch of each step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.config.run import RunConfig
from sweeps.errors import SweepError
from sweeps.planning.plan import prefix_id, run_id, shared_steps, step_shape
from sweeps.planning.streams import streams


@dataclass(frozen=True)
class Branch:
    """A run that starts from another run's checkpoint.

    Attributes:
        run_id: The run.
        step: The step it starts from.
        source: Id of the run that saves the checkpoint.
    """

    run_id: str
    step: int
    source: str


@dataclass(frozen=True)
class SharingGraph:
    """Shared prefixes and packs of the runs of a sweep, by run id.

    Attributes:
        trunks: Runs of each trunk that has branches, in order of execution; the first starts from scratch.
        branches: Runs that start from a checkpoint of another run.
        packs: Packs of two or more runs.
        streams: Two or more sparse autoencoders that read the same activations, which are computed once.
    """

    trunks: list[list[str]]
    branches: list[Branch]
    packs: list[list[str]]
    streams: list[list[str]] = field(default_factory=list)


def sharing_graph(configs: Sequence[RunConfig], pack: int = 0, starts: Sequence[int] | None = None) -> SharingGraph:
    """Returns the shared prefixes and packs of runs.

    Args:
        configs: Runs in order of execution.
        pack: Largest number of runs per pack; 0 or 1 for no packs.
        starts: Step from which each run starts (`Plan.starts`), computed unless given.
    """
    if pack < 0:
        raise SweepError(f"--pack {pack}: must be 1 or more, or use --no-pack")
    trunks: dict[str, list[str]] = {}
    checkpoint_owner: dict[tuple[int, str], str] = {}  # by step and prefix, the run that saves this checkpoint
    branches = []
    for config, start in zip(configs, starts or shared_steps(configs), strict=True):
        name = run_id(config)
        trunks.setdefault(prefix_id(config, 0), []).append(name)
        if start:
            branches.append(Branch(name, start, checkpoint_owner[start, prefix_id(config, start)]))
        checkpoint_owner.setdefault((config.decay_start, prefix_id(config, config.decay_start)), name)
    branched = {branch.run_id for branch in branches}
    with_branches = [names for names in trunks.values() if branched.intersection(names)]
    sharing = {name for names in with_branches for name in names}
    models = [c for c in configs if run_id(c) not in sharing and c.sae is None]
    together = [names for stream in streams(configs) if len(names := [run_id(config) for config in stream]) > 1]
    return SharingGraph(with_branches, branches, find_packs(models, pack), together)


def find_packs(configs: Sequence[RunConfig], size: int) -> list[list[str]]:
    """Returns the packs that `train --pack` makes (scaling/training/packs/program.py), without single runs.

    Args:
        configs: Runs that share no trunk.
        size: Largest number of runs per pack.
    """
    shapes: dict[Any, list[str]] = {}
    for config in sorted(configs, key=lambda config: config.steps) if size > 1 else []:
        if not config.schedule.batch_ramp:
            shapes.setdefault(pack_key(config), []).append(run_id(config))
    groups = [names[i : i + size] for names in shapes.values() for i in range(0, len(names), size)]
    return [names for names in groups if len(names) > 1]


def pack_key(config: RunConfig) -> tuple[object, ...]:
    """Returns a key that is equal for runs that can be in one pack.

    Runs of a pack may differ in learning rate, weight decay, seed, number of steps and corpus.
    """
    plain = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, weight_decay=0.0))
    return (*step_shape(plain), config.data.document_end)
