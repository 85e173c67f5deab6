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
from pathlib import Path
from typing import Any

from scaling.checked import (
    Checked,
    Config,
    ConfigError,
    canonical,
    field_types,
    from_dict,
    identity_fields,
    not_negative,
    one_of,
    positive,
    require,
    to_dict,
)
from scaling.models.config import ModelConfig
from scaling.objective import OBJECTIVES, Parts, check_objective, parts
from scaling.schedule import ScheduleConfig, sequences, shaping, warmup_steps

__all__ = [
    "ConfigError", "DataConfig", "EvalConfig", "ModelConfig", "OptimizerConfig", "Placement", "RunConfig",
    "ScheduleConfig", "canonical", "dumps", "field_types", "from_dict", "load", "loads", "override", "prefix_id",
    "run_id", "to_dict",
]  # fmt: skip

OPTIMIZERS = ("adamw", "lion", "adafactor", "muon")
ABSENT = ("soap", "shampoo")  # from optax 0.2.8 and its contrib
PRECISIONS = ("auto", "float32", "bfloat16")
REMATS = ("none", "dots", "full")
WANDB = ("", "online", "offline")
ATTENTIONS = ("auto", "xla", "cudnn", "splash", "blockwise")
LABEL = {"identity": False}


@dataclass(frozen=True, kw_only=True)
class DataConfig(Checked):
    """Which tokens, by content: a moved or renamed token file is the same data."""

    tokens: str  # content hash of the token file, 64 hex digits
    length: int  # context length in tokens, L
    document_end: int | None = None  # the token that ends a document, beyond which none is seen; None: all are
    objective: str = "causal"  # span: T5's corruption; masked: BERT's; examples: answers; see scaling/objective.py
    corrupted: float = 0.15  # share of a window's tokens that span and masked ask for
    span_length: float = 3.0  # mean tokens of a span
    unique: int | None = None  # training tokens that may be read, then again from the start; None: all there are
    scored: int = 1  # last tokens of an example, its answer; an example is length + 1 tokens
    corpus: str = field(default="", metadata=LABEL)  # what a person calls it

    def check(self) -> None:
        positive(self, "length")
        require(
            self.unique is None or self.unique >= self.length,
            f"DataConfig.unique = {self.unique}: must be at least one window of length = {self.length} tokens",
        )
        require(
            self.document_end is None or self.document_end >= 0,
            f"DataConfig.document_end = {self.document_end}: must be a token, 0 or more",
        )
        known = len(self.tokens) == 64 and not set(self.tokens) - set("0123456789abcdef")
        require(known, f"DataConfig.tokens = {self.tokens!r}: must be the 64 hex digits that `prepare` prints")
        check_objective(self)

    @property
    def parts(self) -> Parts:
        """What the objective makes of a window."""
        return parts(self.objective, self.length, self.corrupted, self.span_length, self.scored)

    @property
    def stride(self) -> int:
        """Tokens from one row's first to the next's: windows share a token, examples none."""
        return self.length + (self.objective == "examples")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Checked):
    """By default AdamW with decoupled decay (Loshchilov & Hutter 2019); gradients clipped by global norm."""

    lr: float  # peak learning rate
    name: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1  # multiplied by the learning rate; on matrices only
    clip: float = 1.0  # largest global gradient norm; 0: no clipping
    z_loss: float = 0.0  # weight of (ln Z)^2 (Chowdhery 2022, section 5)
    momentum: float = 0.95  # muon's, of the matrices it has; the rest has beta1 and beta2

    def check(self) -> None:
        positive(self, "lr", "eps")
        not_negative(self, "weight_decay", "clip", "z_loss")
        require(
            self.name not in ABSENT,
            f"OptimizerConfig.name = {self.name!r}: optax has none: allowed are {', '.join(OPTIMIZERS)}",
        )
        one_of("OptimizerConfig.name", self.name, OPTIMIZERS)
        for name in ("beta1", "beta2", "momentum"):
            value = getattr(self, name)
            require(0 <= value < 1, f"OptimizerConfig.{name} = {value}: must be in [0, 1)")


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


@dataclass(frozen=True, kw_only=True)
class Placement(Checked):
    """Where and how a run is computed: changes its cost, never (beyond rounding) its numbers."""

    data: int = 0  # devices along the data axis; 0: all that are left
    fsdp: int = 1
    tensor: int = 1
    expert: int = 1  # devices that share out the experts, and the sequences too
    run: int = 0  # of a pack: devices that its runs are spread over; 0: as many as there are
    scan: bool | None = None  # one compiled layer, looped; None: on accelerators only
    remat: str = "none"  # what the backward pass computes again: nothing, all but products with weights (dots), or all
    microbatch: int = 0  # sequences computed at once, whose gradients are summed; 0: the whole batch
    block: int = 0  # steps of one dispatch, of one device; 0: as many as pay; see scaling/blocks.py
    attention: str = "auto"  # kernel: the hardware's own where it fits, else xla; see scaling/models/kernels.py
    compile_cache: bool = True  # keep compiled programs for later processes; see scaling/compile_cache.py
    save_seconds: float = 300.0  # between checkpoints
    keep_branch: bool = True  # keep the checkpoint at the start of the decay, for longer runs to branch from
    share: bool = True  # start from a checkpoint that another run left
    tensorboard: bool = True  # the curve for TensorBoard too; see scaling/tensorboard.py
    wandb: str = ""  # and for Weights & Biases: online or offline; see scaling/wandb.py

    def __post_init__(self) -> None:
        said = {True: "full", False: "none", "true": "full", "false": "none"}  # as it was once written
        object.__setattr__(self, "remat", said.get(self.remat, self.remat))
        super().__post_init__()

    def check(self) -> None:
        one_of("Placement.remat", self.remat, REMATS)
        one_of("Placement.attention", self.attention, ATTENTIONS)
        one_of("Placement.wandb", self.wandb, WANDB)
        not_negative(self, "data", "run", "microbatch", "block", "save_seconds")
        positive(self, "fsdp", "tensor", "expert")


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
