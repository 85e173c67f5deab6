"""Configuration of the optimizer. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.validation import (
    ValidatedConfig,
    require,
    require_choice,
    require_non_negative,
    require_positive,
)

OPTIMIZERS = ("adamw", "lion", "adafactor", "muon")
UNSUPPORTED = ("soap", "shampoo")  # not in Optax 0.2.8 and its contrib


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(ValidatedConfig):
    """AdamW with decoupled weight decay (Loshchilov & Hutter 2019) by default; gradients clipped by global norm."""

    lr: float  # peak learning rate
    name: str = "adamw"  # optimizer
    beta1: float = 0.9  # decay of the mean of the gradients
    beta2: float = 0.95  # decay of the mean of their squares (lion: of the momentum)
    eps: float = 1e-8  # added to the root of the mean square
    weight_decay: float = 0.1  # multiplied by the learning rate; on matrices only
    clip: float = 1.0  # largest global gradient norm; 0: no clipping
    z_loss: float = 0.0  # weight of (ln Z)^2 (Chowdhery 2022, section 5)
    momentum: float = 0.95  # muon: for matrices; other parameters use beta1 and beta2

    __hash__ = ValidatedConfig.__hash__  # cached

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range."""
        require_positive(self, "lr", "eps")
        require_non_negative(self, "weight_decay", "clip", "z_loss")
        require(
            self.name not in UNSUPPORTED,
            f"OptimizerConfig.name = {self.name!r}: not in Optax: must be one of {', '.join(OPTIMIZERS)}",
        )
        require_choice("OptimizerConfig.name", self.name, OPTIMIZERS)
        for name in ("beta1", "beta2", "momentum"):
            value = getattr(self, name)
            require(0 <= value < 1, f"OptimizerConfig.{name} = {value}: must be in [0, 1)")
