"""Options of the comparison, apart from it so that `--help` imports nothing."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.options import option
from scaling.config.sae import SAE_KINDS
from scaling.config.validation import require, require_choice

HELD_OUT = 8192  # rows that are not trained on


@dataclass(frozen=True, kw_only=True)
class SaeBenchOptions:
    """What is trained, on what, and for how long."""

    kind: str = option("topk", f"{', '.join(SAE_KINDS)}")
    width: int = option(128, "width of the activations")
    latents: int = option(2048, "size of the dictionary")
    l0: float = option(16.0, "active latents per token")
    batch: int = option(2048, "tokens per step")
    rounds: int = option(25, "turns of each of the two, the first not measured")
    steps: int = option(8, "steps of a turn")
    activations: str = option("", "FILE.npy of float32 (rows, width) (default: sparse sums of a known dictionary)")
    lens_lr: float = option(3e-4, "learning rate of SAELens (its default; here: that of `sae train`)")
    threads: int = option(0, "threads of each (default: one per core)")
    seed: int = option(0, "seed of the parameters and of the activations")

    def __post_init__(self) -> None:
        """Raises ConfigError where a value is out of range."""
        require_choice("--kind", self.kind, SAE_KINDS)
        for name, least in {"width": 2, "latents": 2, "batch": 1, "rounds": 3, "steps": 1, "threads": 0}.items():
            require(getattr(self, name) >= least, f"--{name} {getattr(self, name)}: must be {least} or more")
        require(self.lens_lr > 0, f"--lens-lr {self.lens_lr:g}: must be above 0")
        require(0 < self.l0 <= self.latents, f"--l0 {self.l0:g}: must be above 0 and at most --latents {self.latents}")

    @property
    def total_steps(self) -> int:
        """Training steps of each."""
        return self.rounds * self.steps
