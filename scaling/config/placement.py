"""Configuration of where and how a run is computed; it is not part of the run's identity. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scaling.config.validation import (
    ConfigError,
    ValidatedConfig,
    require_choice,
    require_non_negative,
    require_positive,
    shown,
)

REMAT_POLICIES = ("none", "dots", "full")
WANDB_MODES = ("", "online", "offline")
ATTENTION_KERNELS = ("auto", "xla", "cudnn", "splash", "blockwise")


@dataclass(frozen=True, kw_only=True)
class Placement(ValidatedConfig):
    """Where and how a run is computed. It changes the cost of a run; results change only by rounding."""

    data: int = 0  # devices along the data axis of the mesh; 0: all that remain
    fsdp: int = 1  # devices that parameters and optimizer states are sharded over
    tensor: int = 1  # devices that heads and hidden units are sharded over
    expert: int = 1  # devices that both experts and sequences are sharded over
    run: int = 0  # devices that the runs of a pack are spread over; 0: as many as there are
    scan: bool | None = None  # loop over one compiled layer; None: on accelerators only
    remat: str = "none"  # what the backward pass recomputes: nothing, all but products with weights (dots), or all
    microbatch: int = 0  # sequences computed at once (gradients are averaged); 0: the whole batch
    block: int = 0  # steps per dispatch, on one device only; 0: chosen by scaling/program/multi_step.py
    attention: str = "auto"  # attention kernel; auto: chosen by scaling/models/attention/kernels.py
    compile_cache: bool = True  # store compiled programs for later processes; scaling/program/compile_cache.py
    save_seconds: float = 300.0  # seconds between checkpoints
    keep_branch: bool = True  # keep the checkpoint at the start of the decay, so that longer runs can start from it
    share: bool = True  # start from a checkpoint of another run with the same prefix
    tensorboard: bool = True  # also write the curve for TensorBoard; scaling/training/tracking/tensorboard.py
    wandb: str = ""  # log to Weights & Biases, online or offline; scaling/training/tracking/wandb.py
    token_cache_gb: float = 10.0  # largest size of this host's cache of shards in a bucket, GB; 0: none
    token_address: str = ""  # folder or address of a copy of the sharded corpus; empty: the one that the store names
    profile: str = ""  # trace these steps, such as 100:105, both included; scaling/training/telemetry/profile.py

    def __post_init__(self) -> None:
        legacy = {True: "full", False: "none", "true": "full", "false": "none"}  # values of earlier versions
        object.__setattr__(self, "remat", legacy.get(self.remat, self.remat))
        super().__post_init__()

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range."""
        require_choice("Placement.remat", self.remat, REMAT_POLICIES)
        require_choice("Placement.attention", self.attention, ATTENTION_KERNELS)
        require_choice("Placement.wandb", self.wandb, WANDB_MODES)
        profiled_steps(self.profile)
        require_non_negative(self, "data", "run", "microbatch", "block", "save_seconds", "token_cache_gb")
        require_positive(self, "fsdp", "tensor", "expert")


def profiled_steps(text: str) -> tuple[int, int] | None:
    """Returns the first and the last step of a trace, counted from 1; None for no trace.

    Args:
        text: FIRST:LAST, or empty.

    Raises:
        ConfigError: It is something else.
    """
    if not text:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,11}):([1-9][0-9]{0,11})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise ConfigError(
            f"Placement.profile = {shown(text)}: must be the first and the last step of the trace, such as 100:105"
        )
    return int(match[1]), int(match[2])
