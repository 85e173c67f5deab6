"""scaling.config.placement."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import Checked, not_negative, one_of, positive

REMATS = ("none", "dots", "full")

WANDB = ("", "online", "offline")

ATTENTIONS = ("auto", "xla", "cudnn", "splash", "blockwise")


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
    block: int = 0  # steps of one dispatch, of one device; 0: as many as pay; see scaling/program/multi_step.py
    attention: str = (
        "auto"  # kernel: the hardware's own where it fits, else xla; see scaling/models/attention/kernels.py
    )
    compile_cache: bool = True  # keep compiled programs for later processes; see scaling/program/compile_cache.py
    save_seconds: float = 300.0  # between checkpoints
    keep_branch: bool = True  # keep the checkpoint at the start of the decay, for longer runs to branch from
    share: bool = True  # start from a checkpoint that another run left
    tensorboard: bool = True  # the curve for TensorBoard too; see scaling/training/tracking/tensorboard.py
    wandb: str = ""  # and for Weights & Biases: online or offline; see scaling/training/tracking/wandb.py

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
