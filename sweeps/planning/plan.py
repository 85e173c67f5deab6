"""The plan of a sweep: its runs in order of execution, their shared prefixes, and their exact cost."""

from __future__ import annotations

import bisect
import dataclasses
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from scaling.config import run as run_config
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig
from scaling.counting.counts import total_run_flops
from scaling.store.damaged import verified_facts
from scaling.store.files import DamagedFileError
from scaling.store.origin.anonymous import public_configs
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.planning.budget import flops_until, step_flops
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import FieldGrid, fields_note
from sweeps.planning.streams import activation_cost, order_key, run_size

FINISHED_STATUSES = ("done", "diverged")  # runs with a result, which are not trained again
DAMAGED = "damaged"  # status of a run whose record is damaged: it is trained again
# cached, because a plan needs the same hashes several times
run_id = lru_cache(maxsize=2**16)(run_config.run_id)
prefix_id = lru_cache(maxsize=2**17)(run_config.prefix_id)


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One planned run.

    Attributes:
        run_id: The run id.
        config: Its configuration.
        N: All parameters.
        D: Training tokens.
        C: Exact training FLOPs (scaling/counting/counts.py).
        from_step: Steps that a shared prefix, or a checkpoint in the store, saves.
        shared_step: Steps that a prefix shared with an earlier unfinished run of the plan saves.
        status: Status of its record in the store; DAMAGED for a damaged record, None without one.
    """

    run_id: str
    config: RunConfig
    N: int
    D: int
    C: int
    from_step: int
    shared_step: int = 0
    status: str | None

    @property
    def flops_to_run(self) -> int:
        """Remaining training FLOPs of this run, without shared steps; 0 if the store has its result."""
        return 0 if self.status in FINISHED_STATUSES else self.C - flops_until(self.config, self.from_step)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a sweep in order of execution, their corpus, and the fields of their configs that `--set` gives."""

    corpus: Corpus
    runs: list[PlannedRun]
    fields: FieldGrid = field(default_factory=dict)

    @property
    def remaining(self) -> list[PlannedRun]:
        """Runs without a result in the store."""
        return [run for run in self.runs if run.status not in FINISHED_STATUSES]

    @cached_property
    def starts(self) -> list[int]:
        """The step from which each run would start in an empty store."""
        if len(self.remaining) == len(self.runs):
            return [run.shared_step for run in self.runs]
        return shared_steps([run.config for run in self.runs])

    @cached_property
    def totals(self) -> dict[str, int]:
        """FLOPs and tokens of the plan; see `plan_cost`."""
        shared = [(run.config, step) for run, step in zip(self.runs, self.starts, strict=True) if step]
        separate = sum(run.C for run in self.runs)
        saved = sum(flops_until(config, step) for config, step in shared)
        tokens = sum(run.D for run in self.runs)
        return {
            "runs": len(self.runs),
            "shapes": len({step_shape(run.config) for run in self.runs}),
            "flops_separate": separate,
            "flops_saved": saved,
            "flops": separate - saved,
            "tokens_separate": tokens,
            "tokens": tokens - sum(config.sequences(step) * config.data.length for config, step in shared),
            "flops_left": sum(run.flops_to_run for run in self.runs),
        }


@lru_cache(maxsize=2**16)
def step_shape(config: RunConfig) -> tuple[object, ...]:
    """Returns the properties that a compiled step depends on; runs with equal values share one compilation."""
    ramp = tuple(batch for batch, _ in config.schedule.batch_ramp)
    return (
        config.model,
        _without_learning_rate(config.optimizer),
        config.data.layout,
        config.batch,
        ramp,
        config.precision,
        *([] if config.sae is None else [dataclasses.replace(config.sae, model_run=None, layer=0, site="residual")]),
    )


@lru_cache(maxsize=2**16)
def _without_learning_rate(optimizer: OptimizerConfig) -> OptimizerConfig:
    return dataclasses.replace(optimizer, lr=1.0)  # the rate is an argument of the compiled step


def execution_order(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Sorts runs by shape, smallest first, and within a shape each trunk before its branches, shortest first.

    Sparse autoencoders follow the models, whose activations they read.
    """
    return sorted(
        configs,
        key=lambda c: (
            *order_key(c),
            step_flops(c),
            repr(step_shape(c)),
            prefix_id(c, 0),  # runs of one trunk together
            c.decay_start,
            c.steps,
            run_id(c),
        ),
    )


class StartStep(NamedTuple):
    """The step that a run can start from."""

    shared: int  # from the checkpoint of an earlier run of the same list; 0: from scratch
    stored: int  # from that or from a checkpoint in the store, whichever is later


def start_steps(configs: Iterable[RunConfig], store: Store | None = None) -> list[StartStep]:
    """Returns the step that each run can start from: the last step with a checkpoint when the run starts.

    Args:
        configs: Runs in order of execution. Each saves a checkpoint at the start of its decay.
        store: If given, its shared checkpoints and those of each run are used as well.
    """
    common = checkpoints(store, store.checkpoints) if store else set()
    folders = run_folders(store) if store else frozenset()
    trunks: dict[str, _Trunk] = {}  # by prefix_id of its start
    starts = []
    for config in configs:
        trunk = trunks.setdefault(prefix_id(config, 0), _Trunk())
        shared = trunk.last_checkpoint(config)
        own = (
            checkpoints(store, store.run_dir(run_id(config)) / "checkpoints")
            if store and run_id(config) in folders
            else set()
        )
        later = sorted({step for step, _ in common | own if shared < step <= config.steps}, reverse=True)
        last = next((step for step in later if not {(step, prefix_id(config, step))}.isdisjoint(common | own)), shared)
        starts.append(StartStep(shared, last))
        trunk.add_checkpoint(config)
    return starts


class _Trunk:
    """Checkpoints that the earlier runs of a trunk save, each at the start of its decay."""

    def __init__(self) -> None:
        self.steps: list[int] = []  # rising
        self.prefixes: dict[int, set[str]] = {}  # prefix_id of the checkpoints at a step

    def last_checkpoint(self, config: RunConfig) -> int:
        """Returns the step of the last checkpoint that a run can start from; 0: none."""
        for i in reversed(range(bisect.bisect_right(self.steps, config.decay_start))):
            step = self.steps[i]
            if prefix_id(config, step) in self.prefixes[step]:
                return step
        return 0

    def add_checkpoint(self, config: RunConfig) -> None:
        """Adds the checkpoint of a run."""
        step = config.decay_start
        if step not in self.prefixes:
            bisect.insort(self.steps, step)
            self.prefixes[step] = set()
        self.prefixes[step].add(prefix_id(config, step))


def shared_steps(configs: Iterable[RunConfig], store: Store | None = None) -> list[int]:
    """Returns the step that each run can start from, checkpoints of the store included.

    Args:
        configs: Runs in order of execution.
        store: If given, its checkpoints are used as well.
    """
    return [start.stored for start in start_steps(configs, store)]


def run_folders(store: Store) -> frozenset[str]:
    """Returns the run ids that have a folder in a store; a plan looks for files of these alone."""
    try:
        return frozenset(os.listdir(store.root / "runs"))
    except FileNotFoundError:
        return frozenset()


def checkpoints(store: Store, folder: Path) -> set[tuple[int, str]]:
    """Returns step and prefix_id of each checkpoint in a folder, from its name (scaling/program/checkpoint.py).

    Args:
        store: The store.
        folder: The folder.
    """
    try:
        names = [name.partition("-") for name in store.checkpoint_names(folder)]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return set()
        raise
    return {(int(step), prefix) for step, hyphen, prefix in names if hyphen and step.isascii() and step.isdecimal()}


def check_distinct(configs: list[RunConfig]) -> None:
    """Raises SweepError if two configs are the same run."""
    by_id: dict[str, RunConfig] = {}
    for config in configs:
        name = run_id(config)
        if name in by_id:
            other, details = by_id[name], f"width {config.model.width}, {config.steps} steps"
            cause = (
                f"budgets {other.budget:g} and {config.budget:g} round to the same steps: remove one"
                if config.budget and other.budget and config.budget != other.budget
                else "two values of a setting make the same run, by rounding or because another setting overrides "
                "what they vary: remove one"
            )
            raise SweepError(f"run {name[:12]} is planned twice ({details}): {cause}")
        by_id[name] = config


def plan_sweep(configs: list[RunConfig], corpus: Corpus, store: Store | None = None) -> Plan:
    """Plans a sweep.

    Args:
        configs: The runs, in any order.
        corpus: Their corpus.
        store: If given, the statuses and checkpoints of its runs are used.

    Raises:
        SweepError: There are no runs, or two are the same.
    """
    if not configs:
        raise SweepError("this sweep has no runs")
    configs = public_configs(store.root, configs) if store else configs
    check_distinct(configs)
    ordered = execution_order(configs)
    ids = [run_id(config) for config in ordered]
    folders = run_folders(store) if store else frozenset()
    statuses = {name: recorded_status(store, name) for name in ids if name in folders} if store else {}
    remaining = [c for c, name in zip(ordered, ids, strict=True) if statuses.get(name) not in FINISHED_STATUSES]
    starts = dict(zip([run_id(c) for c in remaining], start_steps(remaining, store), strict=True))
    runs = [
        PlannedRun(
            run_id=name,
            config=config,
            N=run_size(config),
            D=config.tokens,
            C=total_run_flops(config),
            from_step=starts[name].stored if name in starts else 0,
            shared_step=starts[name].shared if name in starts else 0,
            status=statuses.get(name),
        )
        for name, config in zip(ids, ordered, strict=True)
    ]
    return Plan(corpus=corpus, runs=runs)


def recorded_status(store: Store, name: str) -> str | None:
    """Returns the status of a run's record: DAMAGED for a damaged one, which is added to `store.damaged`, or None.

    Args:
        store: The store.
        name: Its run_id.
    """
    try:
        record = verified_facts(store, name)
    except DamagedFileError as error:
        store.note_damaged(error)
        return DAMAGED
    return None if record is None else str(record["status"])


def plan_cost(plan: Plan, rate: float | None = None) -> dict[str, Any]:
    """Returns the cost of a plan: FLOPs and tokens of separate runs, of the shared sweep, and of what remains.

    Args:
        plan: The plan.
        rate: FLOP/s of this machine; adds the seconds that remain.
    """
    streams = activation_cost([run.config for run in plan.runs], [run.config for run in plan.remaining])
    return plan.totals | streams | ({} if rate is None else {"seconds_left": plan.totals["flops_left"] / rate})


def epochs(run: PlannedRun, plan: Plan) -> float:
    """Returns the number of epochs of a run.

    D counts the tokens that the model reads, which for examples is one less than their length.

    Args:
        run: The run.
        plan: Its plan.
    """
    data = run.config.data
    available = plan.corpus.train * data.length / data.stride
    return run.D / min(available, data.unique or available)


def plan_notes(plan: Plan) -> list[str]:
    """Returns notes about the plan: fields that were set, repeated data, and runs that are already in the store."""
    out = [fields_note(plan.fields)] if plan.fields else []
    repeated = [run for run in plan.runs if epochs(run, plan) > 1]
    if repeated:
        largest = max(epochs(run, plan) for run in repeated)
        out.append(
            f"{len(repeated)} of {len(plan.runs)} runs read more than the {plan.corpus.train:,} training tokens of "
            f"{plan.corpus.name}: up to {largest:.1f} epochs"
        )
    for status in ("done", "diverged", "failed", "stopped", "running"):
        count = sum(run.status == status for run in plan.runs)
        if count:
            action = "will be skipped" if status in FINISHED_STATUSES else "will be resumed or retried"
            out.append(f"{count} of {len(plan.runs)} runs are in the store as {status}: {action}")
    if damaged := sum(run.status == DAMAGED for run in plan.runs):
        out.append(f"{damaged} of {len(plan.runs)} runs have damaged records: will be trained again")
    return out
