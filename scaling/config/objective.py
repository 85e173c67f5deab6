"""Training objectives, and the sizes of the inputs and targets that each makes from a window. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from scaling.config.validation import LABEL, ValidatedConfig, require, require_choice, require_positive

OBJECTIVE_MODEL_KINDS = {  # objective: the kind of model that it trains
    "causal": "decoder", "span": "encoder-decoder", "masked": "encoder", "examples": "decoder",
}  # fmt: skip
ORDERS = ("random", "blocks")  # of the training windows: scaling/data/windows.py


@dataclass(frozen=True)
class WindowLayout:
    """Sizes of the inputs and targets of one window; equal for all windows, so that shapes are static.

    Attributes:
        inputs: Tokens that the encoder reads.
        outputs: Tokens that the decoder reads.
        scored: Positions with a loss.
        specials: Special tokens at the end of the vocabulary.
        spans: Spans that are cut out of a window.
        columns: Columns of a row of the batch.
        answers: Whether the scored positions are an answer, which is correct only if all of its tokens are.
    """

    inputs: int
    outputs: int
    scored: int
    specials: int
    spans: int
    columns: int
    answers: bool = False


def window_layout(objective: str, length: int, corrupted: float, span_length: float, scored: int = 1) -> WindowLayout:
    """Returns the layout of a window under an objective.

    causal: the next token at every position.
    span (Raffel 2020, section 3.1.4): each span becomes one sentinel in the inputs; the targets are the spans, each
    after its sentinel, and a last sentinel. One more special token starts the decoder.
    masked (Devlin 2019, section 3.1): one special token, the mask. A row has inputs, positions and their tokens.
    examples: a question and its answer; only the answer has a loss.

    Args:
        objective: One of OBJECTIVE_MODEL_KINDS.
        length: Tokens of a window.
        corrupted: Share of the tokens that span and masked predict.
        span_length: Mean length of a span in tokens.
        scored: Tokens of the answer, the last ones of an example.

    Raises:
        ConfigError: The window is too short for the corruption.
    """
    if objective == "examples":
        return WindowLayout(0, length, scored, 0, 0, length + 1, answers=True)
    if objective == "causal":
        return WindowLayout(0, length, length, 0, 0, length + 1)
    hidden = max(1, round(corrupted * length))
    message = f"DataConfig.corrupted = {corrupted} of length = {length} tokens"
    if objective == "masked":
        require(hidden <= length, f"{message}: must leave at least one token")
        return WindowLayout(length, 0, hidden, 1, 0, length + 2 * hidden)
    spans = max(1, round(hidden / span_length))
    intact = length - hidden
    require(
        spans <= intact,
        f"{message} makes {spans} spans among {intact} remaining tokens: lower corrupted or raise span_length",
    )
    inputs, targets = intact + spans, hidden + spans + 1
    return WindowLayout(inputs, targets, targets, spans + 2, spans, inputs + targets)


@dataclass(frozen=True, kw_only=True)
class DataConfig(ValidatedConfig):
    """The training data of a run. The token file is identified by its content, not by its name or path."""

    tokens: str  # content hash of the token file, 64 hex digits
    length: int  # context length in tokens, L
    document_end: int | None = None  # token that ends a document; attention stays within documents; None: no limit
    objective: str = "causal"  # or span (T5), masked (BERT), examples (questions with answers)
    corrupted: float = 0.15  # share of the tokens of a window that span and masked predict
    span_length: float = 3.0  # mean length of a span in tokens
    unique: int | None = None  # training tokens that are read, repeatedly if needed; None: all of the file
    order: str = (
        "random"  # of the training windows: random permutes all of them, blocks reads large pieces (data/windows.py)
    )
    block_tokens: int = 1 << 21  # tokens of a piece in the order blocks (4 MiB of 16-bit tokens)
    block_group: int = 64  # pieces among which the order blocks permutes windows
    scored: int = 1  # tokens of an answer, the last ones of an example of length + 1 tokens
    corpus: str = field(default="", metadata=LABEL)  # specification of the corpus

    __hash__ = ValidatedConfig.__hash__  # cached

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""
        require_positive(self, "length", "block_tokens", "block_group")
        require_choice("DataConfig.order", self.order, ORDERS)
        for name in ("block_tokens", "block_group"):
            value, default = getattr(self, name), getattr(type(self), name)
            require(
                self.order == "blocks" or value == default,
                f"DataConfig.{name} = {value} with order = {self.order!r}: used only by blocks",
            )
        require(
            self.order == "random" or self.block_tokens >= self.stride,
            f"DataConfig.block_tokens = {self.block_tokens}: must be at least one window of {self.stride} tokens",
        )
        require(
            self.unique is None or self.unique >= self.length,
            f"DataConfig.unique = {self.unique}: must be at least one window of length = {self.length} tokens",
        )
        require(
            self.document_end is None or self.document_end >= 0,
            f"DataConfig.document_end = {self.document_end}: must be a token, 0 or more",
        )
        is_hash = len(self.tokens) == 64 and not set(self.tokens) - set("0123456789abcdef")
        require(is_hash, f"DataConfig.tokens = {self.tokens!r}: must be the 64 hex digits that `prepare` prints")
        self._check_objective()

    def _check_objective(self) -> None:
        objective, end = self.objective, self.document_end
        require_choice("DataConfig.objective", objective, tuple(OBJECTIVE_MODEL_KINDS))
        require(0 < self.corrupted < 1, f"DataConfig.corrupted = {self.corrupted}: must be between 0 and 1")
        require(self.span_length >= 1, f"DataConfig.span_length = {self.span_length}: must be 1 or more")
        require(0 < self.scored <= self.length, f"DataConfig.scored = {self.scored}: must be from 1 to {self.length}")
        objectives = {"corrupted": ("span", "masked"), "span_length": ("span",), "scored": ("examples",)}
        for name, allowed in objectives.items():
            value, default = getattr(self, name), getattr(type(self), name)
            require(
                value == default or objective in allowed,
                f"DataConfig.{name} = {value} with objective = {objective!r}: used only by {' and '.join(allowed)}",
            )
        require(
            end is None or objective == "causal",
            f"DataConfig.document_end = {end} with objective = {objective!r}: must be null unless causal",
        )

    @cached_property
    def layout(self) -> WindowLayout:
        """Sizes of the inputs and targets of one window."""
        return window_layout(self.objective, self.length, self.corrupted, self.span_length, self.scored)

    @property
    def stride(self) -> int:
        """Tokens from the start of a row to the start of the next: windows share a token, examples do not."""
        return self.length + (self.objective == "examples")
