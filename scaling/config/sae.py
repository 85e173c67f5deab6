"""Configuration of a sparse autoencoder (SAE) of a model's activations. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.model import ModelConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import (
    ValidatedConfig,
    require,
    require_choice,
    require_non_negative,
    require_positive,
)

SAE_KINDS = ("relu", "topk", "batch-topk", "jumprelu")
PENALISED_KINDS = ("relu", "jumprelu")  # a penalty makes them sparse; the others keep the largest latents
SITES = ("residual", "attention", "mlp")  # places of a layer at which activations are read
ADAM_EPS = 6.25e-10  # of Gao 2024, appendix A.4
RATE_AT_16K = 2e-4  # learning rate with 2**14 latents; it falls with their square root (Gao 2024, section 3)


@dataclass(frozen=True, kw_only=True)
class SaeConfig(ValidatedConfig):
    """A sparse autoencoder: what it reads, its size, and how it is made sparse.

    Activations are scaled so that their mean squared norm is 1; the bandwidth and fixed coefficients are in this unit.
    """

    kind: str  # relu, topk, batch-topk or jumprelu
    latents: int  # size of the dictionary, n
    layer: int  # layer of the model at which activations are read, from 0
    site: str = "residual"  # residual stream after the layer, or the output of its attention or its mlp
    model_run: str | None = None  # run id of the model, read after its last step; None: data.tokens is of activations
    l0: float | None = None  # active latents per token: exact (topk), a mean (batch-topk), or the target of a penalty
    coefficient: float | None = None  # fixed coefficient of the penalty of relu and jumprelu, in place of a target l0
    bandwidth: float = 0.01  # of the rectangle kernel of jumprelu's gradients (Rajamanoharan 2024, section 3)
    dead_tokens: int = 100_000  # a latent that was not active for so many tokens is dead
    auxiliary: float = 1 / 32  # weight of the auxiliary loss that revives dead latents (Gao 2024, appendix A.2)
    auxiliary_latents: int = 256  # dead latents that reconstruct the error of a token
    buffer: int = 8  # steps whose activations are shuffled together

    __hash__ = ValidatedConfig.__hash__  # cached

    @property
    def has_threshold(self) -> bool:
        """Whether latents are active above a threshold of their own, when the SAE is used."""
        return self.kind in ("jumprelu", "batch-topk")

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""
        require_choice("SaeConfig.kind", self.kind, SAE_KINDS)
        require_choice("SaeConfig.site", self.site, SITES)
        require_positive(self, "latents", "bandwidth", "dead_tokens", "auxiliary_latents", "buffer")
        require_non_negative(self, "layer", "auxiliary")
        run = self.model_run
        is_hash = run is None or (len(run) == 64 and not set(run) - set("0123456789abcdef"))
        require(is_hash, f"SaeConfig.model_run = {run!r}: must be the 64 hex digits of a run id")
        self._check_sparsity()

    def check_run(
        self, model: ModelConfig, optimizer: OptimizerConfig, schedule: ScheduleConfig, eval_every: int
    ) -> None:
        """Raises ConfigError if the autoencoder does not fit the other parts of its run.

        Args:
            model: The model whose activations it reads.
            optimizer: Optimizer of the run.
            schedule: Schedule of the run.
            eval_every: Steps between evaluations.
        """
        require(model.kind == "decoder", f"ModelConfig.kind = {model.kind!r} with sae: must be 'decoder'")
        last = model.layers - 1
        require(self.layer <= last, f"SaeConfig.layer = {self.layer}: the model has layers 0 to {last}")
        require(optimizer.name == "adamw", f"OptimizerConfig.name = {optimizer.name!r}: must be 'adamw' with sae")
        require(not schedule.batch_ramp, "ScheduleConfig.batch_ramp: must be empty with sae")
        require(
            eval_every % self.buffer == 0,
            f"EvalConfig.every = {eval_every}: must be a multiple of SaeConfig.buffer = {self.buffer}",
        )

    def _check_sparsity(self) -> None:
        is_penalised = self.kind in PENALISED_KINDS
        if self.coefficient is not None:
            require(
                is_penalised, f"SaeConfig.coefficient with kind = {self.kind!r}: only {' and '.join(PENALISED_KINDS)}"
            )
            require(self.l0 is None, "SaeConfig.l0 and SaeConfig.coefficient: set one of them, not both")
            require_non_negative(self, "coefficient")
            return
        also = ", or set SaeConfig.coefficient" if is_penalised else ""
        require(self.l0 is not None, f"SaeConfig.l0: missing: set the number of active latents per token{also}")
        assert self.l0 is not None
        require(
            0 < self.l0 <= self.latents,
            f"SaeConfig.l0 = {self.l0:g}: must be greater than 0 and at most latents = {self.latents}",
        )
        require(
            self.kind != "topk" or self.l0 == int(self.l0),
            f"SaeConfig.l0 = {self.l0:g}: must be a whole number with kind = 'topk'",
        )


def default_learning_rate(latents: int) -> float:
    """Returns the peak learning rate for a number of latents: 2e-4 with 2**14 of them, falling with their square root.

    Args:
        latents: Size of the dictionary.
    """
    return RATE_AT_16K * (2**14 / latents) ** 0.5
