"""Options of text generation: sampling of a token, and generation of texts. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.options import option
from scaling.config.validation import ValidatedConfig, require


@dataclass(frozen=True, kw_only=True)
class Sampling(ValidatedConfig):
    """How a token is sampled; the fields are applied in order."""

    temperature: float = option(1.0, "divisor of the logits; 0 selects the most likely token (default 1)")
    top_k: int = option(0, "sample from the K most likely tokens (default 0: all)", metavar="K")
    # Nucleus sampling, Holtzman 2020, section 3.1.
    top_p: float = option(
        1.0, "sample from the most likely tokens with total probability P (default 1: all)", metavar="P"
    )

    def check(self) -> None:
        """Raises ConfigError where a value is out of range."""
        require(self.temperature >= 0, f"--temperature {self.temperature}: must be 0 (greedy) or more")
        require(self.top_k >= 0, f"--top-k {self.top_k}: must be 1 or more, or 0 for all tokens")
        require(0 < self.top_p <= 1, f"--top-p {self.top_p}: must be above 0 and at most 1")


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What to generate for each prompt of a batch.

    Attributes:
        max_tokens: Largest number of new tokens of a text.
        stop: Texts at whose first occurrence a generated text ends; the stop text is removed.
        sampling: How each token is sampled.
        samples: Texts per prompt.
        seed: Seed of the random numbers.
    """

    max_tokens: int
    stop: tuple[str, ...] = ()
    sampling: Sampling = GREEDY
    samples: int = 1
    seed: int = 0
