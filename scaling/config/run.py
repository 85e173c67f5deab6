"""The configuration of a run, and the two hashes that identify a run and its prefixes.

Standard library only: sweeps and tools read configs without importing JAX.
Every field of a RunConfig changes the results of the run, except labels (fields marked `identity: False`).
Options that do not change the results are in Placement.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scaling.config.model import ModelConfig
from scaling.config.objective import OBJECTIVE_MODEL_KINDS, DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.sae import SaeConfig
from scaling.config.schedule import ScheduleConfig, batch_stages, sequences_read, token_share
from scaling.config.user_code.blocks import named_sources, require_hashes, resolve_blocks, use_code
from scaling.config.validation import (
    LABEL,
    Config,
    ConfigError,
    ValidatedConfig,
    from_dict,
    join_json,
    json_text,
    one_line,
    require,
    require_choice,
    require_non_negative,
    require_positive,
    to_dict,
)

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class EvalConfig(ValidatedConfig):
    """Evaluation of the validation loss, always on the same windows of the validation split."""

    every: int = 0  # steps between evaluations; 0: only after the last step
    sequences: int = 256  # windows of data.length tokens (fewer where the split is shorter)

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range."""
        require_non_negative(self, "every")
        require_positive(self, "sequences")


@dataclass(frozen=True, kw_only=True)
class RunConfig(ValidatedConfig):
    """Everything that determines the results of a run. D = batch · length · steps, fewer tokens with a batch ramp."""

    model: ModelConfig  # architecture and shape
    data: DataConfig  # token file, context length and objective
    optimizer: OptimizerConfig  # optimizer and peak learning rate
    batch: int  # sequences per step, after the batch ramp if there is one
    steps: int  # optimizer steps; 0 for an imported model
    schedule: ScheduleConfig = field(default=ScheduleConfig())  # learning rate and batch size over steps
    eval: EvalConfig = EvalConfig()  # evaluation of the validation loss
    seed: int = 0  # of the initialisation and of the order of the data
    precision: str = "auto"  # type of products and activations; auto: bfloat16 on accelerators, float32 on CPU
    init: str | None = None  # hash of the parameters of another run or model that this one starts from
    sae: SaeConfig | None = None  # train a sparse autoencoder of the model's activations, not the model
    budget: float | None = field(default=None, metadata=LABEL)  # planned training FLOPs, the key of an isoFLOP group

    __hash__ = ValidatedConfig.__hash__  # cached

    @property
    def tokens(self) -> int:
        """Training tokens, D."""
        return self.sequences(self.steps) * self.data.length

    @property
    def batch_stages(self) -> list[tuple[int, int, int]]:
        """Stages of constant batch size as (sequences per step, first step, end step)."""
        return batch_stages(self.batch, self.schedule.batch_ramp, self.steps)

    def batch_at(self, step: int) -> int:
        """Sequences that the next step reads after `step` steps."""
        return next((size for size, end in self.schedule.batch_ramp if step < end), self.batch)

    def sequences(self, steps: int) -> int:
        """Sequences that the first `steps` steps read."""
        return sequences_read(self.batch, self.schedule.batch_ramp, self.steps, steps)

    def token_share(self, step: int) -> float:
        """Share of the training tokens that the first `step` steps read, from 0 to 1."""
        return token_share(self.batch, self.schedule.batch_ramp, self.steps, step)

    @property
    def warmup_steps(self) -> int:
        """Steps until the learning rate reaches its peak."""
        if self.schedule.warmup_tokens is None:
            return self.schedule.warmup
        sequences, steps = -(-self.schedule.warmup_tokens // self.data.length), 0
        for size, first, end in self.batch_stages:
            steps = first + -(-sequences // size)
            if steps <= end:
                return steps
            sequences -= size * (end - first)
        return steps

    @property
    def has_even_warmup(self) -> bool:
        """Whether the learning rate rises by the same amount at each warmup step and peaks at the end of a step."""
        tokens = self.schedule.warmup_tokens
        return tokens is None or not (self.schedule.batch_ramp or tokens % (self.batch * self.data.length))

    @property
    def timescale(self) -> int:
        """Timescale of an inverse-sqrt schedule in steps."""
        return self.schedule.timescale or max(1, self.warmup_steps)

    @cached_property
    def decay_start(self) -> int:
        """First step (from 0) whose learning rate depends on the length of the run; `steps` if none does."""
        if self.schedule.name in ("constant", "inverse-sqrt"):
            return self.steps
        if self.schedule.name in ("cosine", "linear"):
            return min(self.warmup_steps, self.steps)
        return self.steps - round(self.schedule.decay * self.steps)

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""
        require_positive(self, "batch")
        require_non_negative(self, "steps")
        require(
            self.steps > 0 or self.init is not None,
            f"RunConfig.steps = {self.steps}: must be greater than 0 (0 only for an imported model)",
        )
        is_hash = self.init is None or (len(self.init) == 64 and not set(self.init) - set("0123456789abcdef"))
        require(is_hash, f"RunConfig.init = {self.init!r}: must be the 64 hex digits that `train --init RUN` sets")
        require(0 <= self.seed < 2**32, f"RunConfig.seed = {self.seed}: must be in [0, 2**32)")
        require_choice("RunConfig.precision", self.precision, PRECISIONS)
        self._check_model()
        self._check_schedule()
        if self.sae is not None:
            self.sae.check_run(self.model, self.optimizer, self.schedule, self.eval.every)

    def _check_schedule(self) -> None:
        self.schedule.check_run(self.batch, self.steps)
        tokens, steps = self.schedule.warmup_tokens, self.warmup_steps
        warmup = f"warmup = {steps}" if tokens is None else f"warmup_tokens = {tokens} ({steps} steps)"
        require(steps <= self.steps, f"ScheduleConfig.{warmup}: must be at most steps = {self.steps}")
        if self.schedule.name == "wsd":
            require(
                steps <= self.decay_start,
                f"ScheduleConfig.{warmup}: must end before the decay, which starts at step {self.decay_start}: "
                "shorten one of them",
            )

    def _check_model(self) -> None:
        kind, objective = self.model.kind, self.data.objective
        require(
            kind == OBJECTIVE_MODEL_KINDS[objective],
            f"ModelConfig.kind = {kind!r} with DataConfig.objective = {objective!r}: "
            + ", ".join(f"{name} trains {model_kind!r}" for name, model_kind in OBJECTIVE_MODEL_KINDS.items()),
        )
        vocab, specials = self.model.vocab, self.data.layout.specials
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
            f"DataConfig.document_end = {end}: must be null with model.capacity, which couples documents",
        )


def dumps(config: Any) -> str:
    """Returns a config as indented JSON, every field included."""
    return json.dumps(to_dict(config), indent=2, allow_nan=False) + "\n"


def loads(text: str, source: str = "config") -> RunConfig:
    """Parses a RunConfig from JSON.

    Args:
        text: The JSON.
        source: Name of the file, for error messages.

    Raises:
        ConfigError: The text is not JSON, or not a valid config.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of nested brackets
        raise ConfigError(f"{source}: not JSON: {one_line(error)}") from None
    return from_dict(RunConfig, data)


def load(path: str | Path) -> RunConfig:
    """Reads a RunConfig from a JSON file; a ConfigError names the file."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    try:
        return loads(text, str(path))
    except ConfigError as error:
        named = str(error).startswith(f"{path}: ")
        raise error if named else ConfigError(f"{path}: {error}") from None


def load_configs(
    paths: Sequence[str | Path], assignments: Sequence[str] = (), code: Sequence[str] = ()
) -> list[RunConfig]:
    """Reads RunConfigs as commands do: with changed fields, and with blocks of the user's own files.

    Args:
        paths: JSON files.
        assignments: `path.to.field=value` each, as for `override`; a block FILE.py:NAME given here names its file.
        code: Files that blocks may come from, as `--code` gives them.

    Raises:
        ConfigError: A file cannot be read, a config is not valid, or the file of a block was not named.
    """
    use_code([*code, *named_sources(assignments)])
    return [resolve_code(override(load(path), list(assignments))) for path in paths]


def resolve_code(config: RunConfig) -> RunConfig:
    """Returns the config with the content hash of each block of a user's file, which is part of the run's id.

    Raises:
        UserCodeError: The user has not named the file (`use_code`), or its content has another hash.
    """
    return replace(config, model=resolve_blocks(config.model))


def override(config: Config, assignments: list[str], flag: str = "--set") -> Config:
    """Returns a config with some fields changed, as the flags `--set` and `--place` do.

    Args:
        config: The config.
        assignments: `path.to.field=value` each, applied in turn. A value is JSON, or plain text if it is not JSON.
        flag: The flag, for messages.

    Raises:
        ConfigError: A field is unknown, or the new config is not valid.
    """
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        require(bool(equals), f"{flag} {assignment}: must be path.to.field=value")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):  # such as a number of thousands of digits
            value = text
        *parents, name = path.split(".")
        fields: Any = data
        for parent in parents:
            require(isinstance(fields, dict) and parent in fields, f"{flag} {assignment}: unknown field {parent}")
            fields = fields[parent]
        require(isinstance(fields, dict), f"{flag} {assignment}: {'.'.join(parents)} has no fields")
        require(name in fields, f"{flag} {assignment}: unknown field {name}: must be one of {', '.join(fields)}")
        fields[name] = text if isinstance(fields[name], str) and not isinstance(value, str) else value
    return from_dict(type(config), data)


def _sha256(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(join_json(texts).encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """Returns the id of a run: SHA-256 of the canonical JSON of its config, 64 hex digits."""
    require_hashes(config.model)
    return _sha256(config.identity_texts)


def prefix_id(config: RunConfig, step: int) -> str:
    """Returns the id of a run's state after some steps, equal for two runs if and only if they share these steps.

    Before the decay neither the length of a run nor the shape of its decay affects the trajectory: wsd, constant and
    inverse-sqrt runs of any length share it, cosine and linear runs share their warmup.

    Args:
        config: The run.
        step: Steps done, from 0 to `config.steps`.
    """
    require(0 <= step <= config.steps, f"step {step}: must be from 0 to steps = {config.steps}")
    require_hashes(config.model)
    texts = dict(config.identity_texts)
    if step <= config.decay_start and config.sae is None:  # autoencoders share no steps
        texts.pop("steps")
        texts["schedule"] = json_text(_schedule_before(config, step))
    texts["step"] = json_text(step)
    return _sha256(texts)


def _schedule_before(config: RunConfig, step: int) -> dict[str, Any]:
    """Returns the fields of the schedule that affect the first `step` steps, all before the decay."""
    schedule = config.schedule
    out: dict[str, Any] = (
        {"warmup": config.warmup_steps} if config.has_even_warmup else {"warmup_tokens": schedule.warmup_tokens}
    )
    if schedule.name == "inverse-sqrt" and step > config.warmup_steps:
        out["timescale"] = config.timescale
        out |= {"floor": schedule.floor} if schedule.floor else {}
    ramp = [[size, min(end, step)] for size, first, end in config.batch_stages[:-1] if first < step]
    return out | ({"batch_ramp": ramp} if ramp else {})


def learning_rate(config: RunConfig, step: int) -> float:
    """Returns the learning rate of the update that follows `step` finished steps, in float64.

    wsd: linear warm-up, constant, then a decay over the last share of the steps (Hägele 2024); cosine and linear:
    from the peak after the warm-up to floor·peak at the end (Hoffmann 2022, appendix B; Bergsma 2025);
    inverse-sqrt: √(T / (T + steps after the warm-up)) (Vaswani 2017, equation 3, where T is the warm-up; Zhai 2022,
    section 3.5).

    Args:
        config: The run.
        step: Number of finished steps.
    """
    schedule, peak, warm = config.schedule, config.optimizer.lr, config.warmup_steps
    if step < warm:
        if config.has_even_warmup:
            return peak * (step + 1) / warm
        tokens_seen = config.sequences(step + 1) * config.data.length
        return peak * min(1.0, tokens_seen / (schedule.warmup_tokens or tokens_seen))
    if schedule.name == "inverse-sqrt":
        return peak * max(schedule.floor, math.sqrt(config.timescale / (config.timescale + step - warm)))
    start = config.decay_start
    if schedule.name == "constant" or step < start:
        return peak
    return peak * schedule.decayed((step - start) / (config.steps - start))
