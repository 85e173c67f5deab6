"""scaling.config.optimizer."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import Checked, not_negative, one_of, positive, require

OPTIMIZERS = ("adamw", "lion", "adafactor", "muon")

ABSENT = ("soap", "shampoo")  # from optax 0.2.8 and its contrib


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
