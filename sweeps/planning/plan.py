"""What a sweep will run, in which order, at what cost: exact, before anything is started."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from scaling.config import run as run_config
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig
from scaling.models.counts import parameters
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.planning.budget import achieved, flops_until, step_flops
from sweeps.planning.corpus import Corpus

ENDED = ("done", "diverged")  # results: not run again
# A plan asks for the same hashes several times over; configs never change.
run_id = lru_cache(maxsize=2**16)(run_config.run_id)
prefix_id = lru_cache(maxsize=2**17)(run_config.prefix_id)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One planned run. N counts every parameter; C is the exact training count (sweeps/planning/budget.py)."""

    run_id: str
    config: RunConfig
    N: int
    D: int
    C: int
    from_step: int  # steps that a shared prefix, or a checkpoint in the store, saves
    shared_step: int = 0  # steps that a prefix shared with an earlier run of the plan that has no result saves
    status: str | None  # what the store says of it, None where it says nothing

    @property
    def flops_to_run(self) -> int:
        """Training FLOPs this run costs after sharing; 0 where the store has its result."""
        return 0 if self.status in ENDED else self.C - flops_until(self.config, self.from_step)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Runs in order of execution, and their corpus."""

    corpus: Corpus
    runs: list[Run]

    @property
    def left(self) -> list[Run]:
        """Runs whose results are not in the store."""
        return [run for run in self.runs if run.status not in ENDED]

    @cached_property
    def starts(self) -> list[int]:
        """The step that each run would start from in an empty store."""
        if len(self.left) == len(self.runs):
            return [run.shared_step for run in self.runs]
        return shared_steps([run.config for run in self.runs])

    @cached_property
    def figures(self) -> dict[str, int]:
        """See `cost`."""
        shared = [(run.config, step) for run, step in zip(self.runs, self.starts, strict=True) if step]
        alone = sum(run.C for run in self.runs)
        saved = sum(flops_until(config, step) for config, step in shared)
        tokens = sum(run.D for run in self.runs)
        return {
            "runs": len(self.runs),
            "shapes": len({shape(run.config) for run in self.runs}),
            "flops_separate": alone,
            "flops_saved": saved,
            "flops": alone - saved,
            "tokens_separate": tokens,
            "tokens": tokens - sum(config.sequences(step) * config.data.length for config, step in shared),
            "flops_left": sum(run.flops_to_run for run in self.runs),
        }


@lru_cache(maxsize=2**16)
def shape(config: RunConfig) -> tuple[object, ...]:
    """What a compiled step depends on: runs that agree in it compile once."""
    ramp = tuple(batch for batch, _ in config.schedule.batch_ramp)
    return (config.model, _rateless(config.optimizer), config.data.layout, config.batch, ramp, config.precision)


@lru_cache(maxsize=2**16)
def _rateless(optimizer: OptimizerConfig) -> OptimizerConfig:
    return dataclasses.replace(optimizer, lr=1.0)  # a rate is an argument of the step


def execution_order(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Runs of a shape side by side, smallest shape first; within it trunks before their branches, shortest first."""
    return sorted(
        configs,
        key=lambda c: (
            step_flops(c),
            repr(shape(c)),
            prefix_id(c, 0),  # one trunk after the other
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
    """Returns for each run in turn the step it can start from: the last one of which there will be a checkpoint.

    Args:
        configs: Runs in order of execution. Each keeps the state at the start of its decay.
        store: Adds the checkpoints that it has, for all runs and for each run alone.
    """
    common = checkpoints(store.checkpoints) if store else set()
    trunks: dict[str, dict[int, set[str]]] = {}  # by trunk and step: prefixes of the checkpoints of earlier runs
    starts = []
    for config in configs:
        trunk = trunks.setdefault(prefix_id(config, 0), {})
        before = sorted((step for step in trunk if step <= config.decay_start), reverse=True)
        shared = next((step for step in before if prefix_id(config, step) in trunk[step]), 0)
        stored = common | checkpoints(store.run_dir(run_id(config)) / "checkpoints") if store else common
        later = sorted({step for step, _ in stored if shared < step <= config.steps}, reverse=True)
        last = next((step for step in later if (step, prefix_id(config, step)) in stored), shared)
        starts.append(StartStep(shared, last))
        trunk.setdefault(config.decay_start, set()).add(prefix_id(config, config.decay_start))
    return starts


def shared_steps(configs: Iterable[RunConfig], store: Store | None = None) -> list[int]:
    """Returns the step that each run can start from, checkpoints of the store included.

    Args:
        configs: Runs in order of execution.
        store: Adds the checkpoints that it has.
    """
    return [start.stored for start in start_steps(configs, store)]


def checkpoints(folder: Path) -> set[tuple[int, str]]:
    """Step and prefix_id of the checkpoints in a folder, read from their names (scaling/program/checkpoint.py)."""
    names = [path.name.partition("-") for path in folder.glob("[0-9]*-*")]
    return {(int(step), prefix) for step, _, prefix in names if step.isdigit()}


def check_distinct(configs: list[RunConfig]) -> None:
    """SweepError where two runs are one."""
    seen: dict[str, RunConfig] = {}
    for config in configs:
        name = run_id(config)
        if name in seen:
            what = f"width {config.model.width}, {config.steps} steps, budgets {seen[name].budget} and {config.budget}"
            raise SweepError(f"run {name[:12]} is planned twice ({what}): two budgets round to one run; drop one")
        seen[name] = config


def plan(configs: list[RunConfig], corpus: Corpus, store: Store | None = None) -> Plan:
    """The runs in order of execution with N, D, C, what they share, and what the store has of them."""
    if not configs:
        raise SweepError("this sweep has no runs")
    check_distinct(configs)
    ordered = execution_order(configs)
    ids = [run_id(config) for config in ordered]
    found = {name: store.read(name) for name in ids} if store else {}
    stored = {name: record for name, record in found.items() if record is not None}
    left = [c for c, name in zip(ordered, ids, strict=True) if name not in stored or stored[name].status not in ENDED]
    starts = dict(zip([run_id(c) for c in left], start_steps(left, store), strict=True))
    runs = [
        Run(
            run_id=name,
            config=config,
            N=parameters(config.model)["total"],
            D=config.tokens,
            C=achieved(config),
            from_step=starts[name].stored if name in starts else 0,
            shared_step=starts[name].shared if name in starts else 0,
            status=stored[name].status if name in stored else None,
        )
        for name, config in zip(ids, ordered, strict=True)
    ]
    return Plan(corpus=corpus, runs=runs)


def cost(of: Plan, rate: float | None = None) -> dict[str, Any]:
    """The whole cost: FLOPs and tokens of the separate runs, of the sweep as run, and what is still to pay."""
    return of.figures | ({} if rate is None else {"seconds_left": of.figures["flops_left"] / rate})


def epochs(run: Run, of: Plan) -> float:
    """How often a run reads its training text; D counts the tokens that a model reads, one less than an example has."""
    data = run.config.data
    there = of.corpus.train * data.length / data.stride
    return run.D / min(there, data.unique or there)


def notes(of: Plan) -> list[str]:
    """What a person should know before launching: data read more than once, what the store has."""
    out = []
    repeated = [run for run in of.runs if epochs(run, of) > 1]
    if repeated:
        most = max(epochs(run, of) for run in repeated)
        out.append(
            f"{len(repeated)} of {len(of.runs)} runs read more than the {of.corpus.train:,} training tokens of "
            f"{of.corpus.name}: up to {most:.1f} epochs"
        )
    for status in ("done", "diverged", "failed", "stopped", "running"):
        count = sum(run.status == status for run in of.runs)
        if count:
            ahead = {"done": "will be skipped", "diverged": "will be skipped"}.get(status, "will go on or run again")
            out.append(f"{count} of {len(of.runs)} runs are in the store as {status}: {ahead}")
    return out
