"""What a run is: frozen dataclasses, JSON both ways, and the two hashes that name a run and its prefixes.

Standard library only: sweeps and tools read configs without importing JAX.
Everything in a RunConfig changes the run's numbers, except the fields marked `identity: False`
(labels that travel with it). What does not change the numbers is a Placement.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.objective import LABEL, OBJECTIVES, DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import (
    Checked,
    Config,
    ConfigError,
    canonical,
    from_dict,
    identity_fields,
    not_negative,
    one_of,
    positive,
    require,
    to_dict,
)

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Checked):
    """The held-out loss: the same windows of the validation split, each time."""

    every: int = 0  # steps between evaluations; 0: only after the last step
    sequences: int = 256  # windows of data.length tokens (fewer where the split is shorter)

    def check(self) -> None:
        not_negative(self, "every")
        positive(self, "sequences")


@dataclass(frozen=True, kw_only=True)
class RunConfig(Checked):
    """All that changes a run's numbers. D = batch · length · steps tokens, fewer where the batch is ramped up."""

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig
    batch: int  # sequences a step (schedule.batch_ramp: in the end)
    steps: int
    schedule: ScheduleConfig = field(default=ScheduleConfig())
    eval: EvalConfig = EvalConfig()
    seed: int = 0
    precision: str = "auto"  # of products and activations; auto: bfloat16 on accelerators, float32 on CPU
    budget: float | None = field(default=None, metadata=LABEL)  # planned training FLOPs, the key of an isoFLOP group

    def __hash__(self) -> int:
        return self._hash  # plans ask for it some thirty times

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, name) for name, _ in identity_fields(RunConfig)))

    @property
    def tokens(self) -> int:
        """Training tokens, D."""
        return self.sequences(self.steps) * self.data.length

    def sequences(self, steps: int) -> int:
        """Sequences that the first `steps` steps read."""
        return sequences(self, steps)

    def batch_at(self, step: int) -> int:
        """Sequences that the step after `step` finished ones reads."""
        return next((size for size, until in self.schedule.batch_ramp if step < until), self.batch)

    @property
    def warmup_steps(self) -> int:
        """Steps until the learning rate has reached its peak."""
        return warmup_steps(self)

    @property
    def timescale(self) -> int:
        """Of an inverse-sqrt schedule, in steps."""
        return self.schedule.timescale or max(1, self.warmup_steps)

    @property
    def decay_start(self) -> int:
        """First step (0-based) whose learning rate depends on the run's length; `steps` where none does."""
        if self.schedule.name in ("constant", "inverse-sqrt"):
            return self.steps
        if self.schedule.name in ("cosine", "linear"):
            return min(self.warmup_steps, self.steps)
        return self.steps - round(self.schedule.decay * self.steps)

    def check(self) -> None:
        positive(self, "batch", "steps")
        require(0 <= self.seed < 2**32, f"RunConfig.seed = {self.seed}: must be in [0, 2**32)")
        one_of("RunConfig.precision", self.precision, PRECISIONS)
        self._check_model()
        self._check_schedule()

    def _check_schedule(self) -> None:
        self.schedule.check_run(self.batch, self.steps)
        tokens, steps = self.schedule.warmup_tokens, self.warmup_steps
        said = f"warmup = {steps}" if tokens is None else f"warmup_tokens = {tokens} ({steps} steps)"
        require(steps <= self.steps, f"ScheduleConfig.{said}: must be at most steps = {self.steps}")
        if self.schedule.name == "wsd":
            require(
                steps <= self.decay_start,
                f"ScheduleConfig.{said} reaches into the decay, which starts at step {self.decay_start}: "
                "shorten one of them",
            )

    def _check_model(self) -> None:
        kind, objective = self.model.kind, self.data.objective
        require(
            kind == OBJECTIVES[objective],
            f"ModelConfig.kind = {kind!r} with DataConfig.objective = {objective!r}: "
            + ", ".join(f"{name} trains {of!r}" for name, of in OBJECTIVES.items()),
        )
        vocab, specials = self.model.vocab, self.data.parts.specials
        require(
            vocab > specials,
            f"ModelConfig.vocab = {vocab}: must be more than the {specials} tokens that objective {objective!r} adds",
        )
        longest = self.model.position_length
        require(
            longest is None or self.data.length <= longest,
            f"DataConfig.length = {self.data.length}: must be at most ModelConfig.position_length = {longest}",
        )
        end = self.data.document_end
        require(
            end is None or end < self.model.vocab,
            f"DataConfig.document_end = {end}: must be less than ModelConfig.vocab = {self.model.vocab}",
        )
        require(
            end is None or self.model.capacity is None,
            "DataConfig.document_end: an expert's capacity is taken by the documents before: set model.capacity = null",
        )


def dumps(config: Any) -> str:
    """JSON for people and files."""
    return json.dumps(to_dict(config), indent=2, allow_nan=False) + "\n"


def loads(text: str, where: str = "config") -> RunConfig:
    """A RunConfig from JSON text."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    return from_dict(RunConfig, data)


def load(path: str | Path) -> RunConfig:
    """A RunConfig from a JSON file."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        return loads(text, str(path))
    except ConfigError as error:
        named = str(error).startswith(f"{path}: ")
        raise error if named else ConfigError(f"{path}: {error}") from None


def override(config: Config, assignments: list[str]) -> Config:
    """`config` with `path.to.field=value` applied in turn; values are JSON, or plain text where they are not."""
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        require(bool(equals), f"--set {assignment}: must be path.to.field=value")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, last = path.split(".")
        at: Any = data
        for parent in parents:
            require(isinstance(at, dict) and parent in at, f"--set {assignment}: unknown field {parent}")
            at = at[parent]
        require(isinstance(at, dict), f"--set {assignment}: {'.'.join(parents)} has no fields")
        require(last in at, f"--set {assignment}: unknown field {last}: known are {', '.join(at)}")
        at[last] = text if isinstance(at[last], str) and not isinstance(value, str) else value
    return from_dict(type(config), data)


def _sha256(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """SHA-256 of the canonical JSON, 64 hex digits."""
    return _sha256(canonical(config))


def prefix_id(config: RunConfig, step: int) -> str:
    """Names the state after `step` steps: equal for two runs exactly when their trajectories up to there are.

    Before the decay starts, neither the length of a run nor its way of decaying has touched the trajectory: wsd,
    constant and inverse-sqrt runs of any length share it, cosine and linear ones their warm-up.
    """
    require(0 <= step <= config.steps, f"step {step} of a run of {config.steps} steps")
    data = canonical(config)
    if step <= config.decay_start:
        data.pop("steps")
        data["schedule"] = shaping(config, step)
    data["step"] = step
    return _sha256(data)


def stages(config: RunConfig) -> list[tuple[int, int, int]]:
    """Batch, first step and end of each stage: the ramp's, then the run's own."""
    ends = (0, *(until for _, until in config.schedule.batch_ramp), config.steps)
    sizes = (*(size for size, _ in config.schedule.batch_ramp), config.batch)
    return [(size, *between) for size, between in zip(sizes, pairwise(ends), strict=True)]


def sequences(config: RunConfig, steps: int) -> int:
    """Sequences that the first `steps` steps read."""
    return sum(size * (min(end, steps) - first) for size, first, end in stages(config) if first < steps)


def warmup_steps(config: RunConfig) -> int:
    """Steps until the learning rate has reached its peak."""
    tokens = config.schedule.warmup_tokens
    if tokens is None:
        return config.schedule.warmup
    wanted, steps = -(-tokens // config.data.length), 0
    for size, first, end in stages(config):
        steps = first + -(-wanted // size)
        if steps <= end:
            return steps
        wanted -= size * (end - first)
    return steps


def _even_warmup(config: RunConfig) -> bool:
    """Whether the warm-up is one of equal steps that ends with a step."""
    tokens = config.schedule.warmup_tokens
    return tokens is None or not (config.schedule.batch_ramp or tokens % (config.batch * config.data.length))


def shaping(config: RunConfig, step: int) -> dict[str, Any]:
    """What of the schedule has shaped the trajectory up to `step`, none of which lies in the decay."""
    even = _even_warmup(config)
    out: dict[str, Any] = {"warmup": config.warmup_steps} if even else {"warmup_tokens": config.schedule.warmup_tokens}
    if config.schedule.name == "inverse-sqrt" and step > config.warmup_steps:
        out["timescale"] = config.timescale
        out |= {"floor": config.schedule.floor} if config.schedule.floor else {}
    ramp = [[size, min(end, step)] for size, first, end in stages(config)[:-1] if first < step]
    return out | ({"batch_ramp": ramp} if ramp else {})
