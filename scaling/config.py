"""What a run is: frozen dataclasses, JSON both ways, and the two hashes that name a run and its prefixes.

Standard library only: sweeps and tools read configs without importing JAX.
Everything in a RunConfig changes the run's numbers, except the fields marked `identity: False`
(labels that travel with it). What does not change the numbers is a Placement.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

MLPS = ("swiglu", "gelu")
SCHEDULES = ("wsd", "cosine", "constant")
DECAYS = ("linear", "1-sqrt")
OPTIMIZERS = ("adamw",)
PRECISIONS = ("auto", "float32", "bfloat16")
LABEL = {"identity": False}


class ConfigError(ValueError):
    """A config that cannot be: one line that says what was given and what is allowed."""


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise ConfigError(message)


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, f"{what} = {value!r}: allowed are {', '.join(allowed)}")


def _positive(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        _require(value > 0, f"{type(of).__name__}.{name} = {value}: must be greater than 0")


def _not_negative(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        _require(value >= 0, f"{type(of).__name__}.{name} = {value}: must be 0 or more")


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """Declared type of each field."""
    return typing.get_type_hints(cls)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        hint = next(arg for arg in hint.__args__ if arg is not type(None))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        _require(abs(value) < 2**1023, f"{where} = {str(value)[:20]}…: must be finite")
        value = float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    _require(fits, f"{where} = {value!r}: must be {getattr(hint, '__name__', hint)}")
    _require(not isinstance(value, float) or math.isfinite(value), f"{where} = {value}: must be finite")
    return value


class _Checked:
    """Coerces each field to its declared type (1 becomes 1.0 in a float field: one number, one identity)."""

    def __post_init__(self) -> None:
        for name, hint in field_types(type(self)).items():  # type: ignore[arg-type]
            where = f"{type(self).__name__}.{name}"
            object.__setattr__(self, name, _coerce(getattr(self, name), hint, where))
        self.check()

    def check(self) -> None:
        """Raises ConfigError where the fields cannot stand together."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Checked):
    """A decoder-only Transformer: pre-norm RMSNorm, rotary positions, no biases (Touvron 2023, section 2.2)."""

    vocab: int  # tokens in the vocabulary, V
    width: int  # residual stream, D
    layers: int
    heads: int  # query heads
    mlp_width: int  # hidden units of the MLP, F
    kv_heads: int | None = None  # None: as many as query heads
    head_dim: int | None = None  # None: width / heads
    mlp: str = "swiglu"
    tied: bool = False  # output head shares the embedding table
    rope_base: float = 10_000.0
    norm_eps: float = 1e-6

    @property
    def kv(self) -> int:
        """Key and value heads."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head(self) -> int:
        """Size of one head."""
        return self.width // self.heads if self.head_dim is None else self.head_dim

    def check(self) -> None:
        _positive(self, "vocab", "width", "layers", "heads", "mlp_width", "kv", "head", "rope_base", "norm_eps")
        _one_of("ModelConfig.mlp", self.mlp, MLPS)
        if self.head_dim is None:
            _require(
                self.width % self.heads == 0,
                f"ModelConfig.width = {self.width} does not divide by heads = {self.heads}: "
                "choose a multiple, or set head_dim",
            )
        _require(
            self.heads % self.kv == 0,
            f"ModelConfig.heads = {self.heads} does not divide by kv_heads = {self.kv}: choose a divisor",
        )
        _require(self.head % 2 == 0, f"ModelConfig.head_dim = {self.head}: rotary positions need an even size")


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Checked):
    """Which tokens, by content: a moved or renamed token file is the same data."""

    tokens: str  # content hash of the token file, 64 hex digits
    length: int  # context length in tokens, L
    corpus: str = field(default="", metadata=LABEL)  # what a person calls it

    def check(self) -> None:
        _positive(self, "length")
        known = len(self.tokens) == 64 and not set(self.tokens) - set("0123456789abcdef")
        _require(known, f"DataConfig.tokens = {self.tokens!r}: must be the 64 hex digits that `prepare` prints")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(_Checked):
    """AdamW with decoupled decay (Loshchilov & Hutter 2019), gradients clipped by global norm."""

    lr: float  # peak learning rate
    name: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1  # multiplied by the learning rate; on matrices only
    clip: float = 1.0  # largest global gradient norm; 0: no clipping
    z_loss: float = 0.0  # weight of (ln Z)^2 (Chowdhery 2022, section 5)

    def check(self) -> None:
        _positive(self, "lr", "eps")
        _not_negative(self, "weight_decay", "clip", "z_loss")
        _one_of("OptimizerConfig.name", self.name, OPTIMIZERS)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"OptimizerConfig.{name} = {value}: must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(_Checked):
    """Learning rate over steps: linear warm-up, then wsd (Hägele 2024), cosine or constant."""

    name: str = "wsd"
    warmup: int = 0  # steps
    decay: float = 0.2  # wsd: share of the steps spent decaying
    decay_shape: str = "linear"
    floor: float = 0.0  # final learning rate as a share of the peak

    def check(self) -> None:
        _one_of("ScheduleConfig.name", self.name, SCHEDULES)
        _one_of("ScheduleConfig.decay_shape", self.decay_shape, DECAYS)
        _not_negative(self, "warmup")
        _require(0 <= self.decay <= 1, f"ScheduleConfig.decay = {self.decay}: must be in [0, 1]")
        _require(0 <= self.floor <= 1, f"ScheduleConfig.floor = {self.floor}: must be in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class EvalConfig(_Checked):
    """The held-out loss: the same windows of the validation split, each time."""

    every: int = 0  # steps between evaluations; 0: only after the last step
    sequences: int = 256  # windows of data.length tokens (fewer where the split is shorter)

    def check(self) -> None:
        _not_negative(self, "every")
        _positive(self, "sequences")


@dataclass(frozen=True, kw_only=True)
class RunConfig(_Checked):
    """All that changes a run's numbers. D = batch · length · steps tokens."""

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig
    batch: int  # sequences a step
    steps: int
    schedule: ScheduleConfig = ScheduleConfig()
    eval: EvalConfig = EvalConfig()
    seed: int = 0
    precision: str = "auto"  # of products and activations; auto: bfloat16 on accelerators, float32 on CPU
    budget: float | None = field(default=None, metadata=LABEL)  # planned training FLOPs, the key of an isoFLOP group

    @property
    def tokens(self) -> int:
        """Training tokens, D."""
        return self.batch * self.data.length * self.steps

    @property
    def decay_start(self) -> int:
        """First step (0-based) whose learning rate depends on the run's length; `steps` where none does."""
        if self.schedule.name == "constant":
            return self.steps
        if self.schedule.name == "cosine":
            return min(self.schedule.warmup, self.steps)
        return self.steps - round(self.schedule.decay * self.steps)

    def check(self) -> None:
        _positive(self, "batch", "steps")
        _require(0 <= self.seed < 2**32, f"RunConfig.seed = {self.seed}: must be in [0, 2**32)")
        _one_of("RunConfig.precision", self.precision, PRECISIONS)
        _require(
            self.schedule.warmup <= self.steps,
            f"ScheduleConfig.warmup = {self.schedule.warmup}: must be at most steps = {self.steps}",
        )
        if self.schedule.name == "wsd":
            _require(
                self.schedule.warmup <= self.decay_start,
                f"ScheduleConfig.warmup = {self.schedule.warmup} reaches into the decay, which starts at "
                f"step {self.decay_start}: shorten one of them",
            )


@dataclass(frozen=True, kw_only=True)
class Placement(_Checked):
    """Where and how a run is computed: changes its cost, never (beyond rounding) its numbers."""

    data: int = 0  # devices along the data axis; 0: all that are left
    fsdp: int = 1
    tensor: int = 1
    scan: bool | None = None  # one compiled layer, looped; None: on accelerators only
    remat: bool = False  # recompute activations in the backward pass
    save_seconds: float = 300.0  # between checkpoints
    keep_branch: bool = True  # keep the checkpoint at the start of the decay, for longer runs to branch from
    share: bool = True  # start from a checkpoint that another run left

    def check(self) -> None:
        _not_negative(self, "data", "save_seconds")
        _positive(self, "fsdp", "tensor")


Config = TypeVar("Config", bound=_Checked)


def to_dict(config: Any) -> dict[str, Any]:
    """Every field, defaults included."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], data: Any, where: str = "") -> Config:
    """The config that `data` (parsed JSON) describes; ConfigError names the field that does not fit."""
    _require(isinstance(data, dict), f"{where or cls.__name__} = {data!r}: must be an object")
    hints = field_types(cls)  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(hints))
    _require(not unknown, f"{where or cls.__name__}: unknown field {', '.join(unknown)}: known are {', '.join(hints)}")
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.name not in data
    ]
    _require(not missing, f"{where or cls.__name__}: missing field {', '.join(missing)}")
    values = {
        name: from_dict(hints[name], value, f"{where}{'.' if where else ''}{name}")
        if dataclasses.is_dataclass(hints[name])
        else value
        for name, value in data.items()
    }
    return cls(**values)


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
        _require(bool(equals), f"--set {assignment}: must be path.to.field=value")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *parents, last = path.split(".")
        at: Any = data
        for parent in parents:
            _require(isinstance(at, dict) and parent in at, f"--set {assignment}: unknown field {parent}")
            at = at[parent]
        _require(isinstance(at, dict), f"--set {assignment}: {'.'.join(parents)} has no fields")
        _require(last in at, f"--set {assignment}: unknown field {last}: known are {', '.join(at)}")
        at[last] = text if isinstance(at[last], str) and not isinstance(value, str) else value
    return from_dict(type(config), data)


def canonical(config: Any) -> dict[str, Any]:
    """The fields that make the identity, those at their defaults left out (a new field keeps every old id)."""
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if not f.metadata.get("identity", True) or value == f.default:
            continue
        out[f.name] = canonical(value) if dataclasses.is_dataclass(value) else value
    return out


def _sha256(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """SHA-256 of the canonical JSON, 64 hex digits."""
    return _sha256(canonical(config))


def prefix_id(config: RunConfig, step: int) -> str:
    """Names the state after `step` steps: equal for two runs exactly when their trajectories up to there are.

    Before the decay starts, neither the length of a run nor its way of decaying has touched the
    trajectory: wsd and constant runs of any length share it.
    """
    _require(0 <= step <= config.steps, f"step {step} of a run of {config.steps} steps")
    data = canonical(config)
    if step <= config.decay_start:
        data.pop("steps")
        data["schedule"] = {"warmup": config.schedule.warmup}
    data["step"] = step
    return _sha256(data)
