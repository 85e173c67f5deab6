"""What a window of tokens is made into for each training objective, in numbers alone. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scaling.config.validation import Checked, one_of, positive, require

if TYPE_CHECKING:
    pass

LABEL = {"identity": False}


OBJECTIVES = {  # and the kind of model each trains
    "causal": "decoder", "span": "encoder-decoder", "masked": "encoder", "examples": "decoder",
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What one window becomes: the same numbers for every window, so that shapes are static.

    inputs: tokens that the encoder reads; outputs: that the decoder reads; scored: positions with a loss;
    specials: tokens at the top of the vocabulary that are no text's; spans: that are cut out of a window;
    columns: entries of a row of the batch; answers: whether what is scored is an answer, right or wrong as a whole.
    """

    inputs: int
    outputs: int
    scored: int
    specials: int
    spans: int
    columns: int
    answers: bool = False


def parts(objective: str, length: int, corrupted: float, span_length: float, scored: int = 1) -> Parts:
    """The parts of a window of `length` tokens, of which a share `corrupted` is to be told from the rest.

    span (Raffel 2020, section 3.1.4): each span is one sentinel in the inputs; the targets are the spans, each after
    its sentinel, and a last sentinel. Beside the sentinels there is the token that the decoder starts from.
    masked (Devlin 2019, section 3.1): one special token, the mask. A row is inputs, places, and the tokens there.
    examples: a question and its answer, the last `scored` tokens, of which alone there is a loss.
    """
    if objective == "examples":
        return Parts(0, length, scored, 0, 0, length + 1, answers=True)
    if objective == "causal":
        return Parts(0, length, length, 0, 0, length + 1)
    hidden = max(1, round(corrupted * length))
    said = f"DataConfig.corrupted = {corrupted} of length = {length} tokens"
    if objective == "masked":
        require(hidden <= length, f"{said}: must leave one to read")
        return Parts(length, 0, hidden, 1, 0, length + 2 * hidden)
    spans = max(1, round(hidden / span_length))
    kept = length - hidden
    require(spans <= kept, f"{said} is {spans} spans among {kept} kept ones: corrupt less, or in longer spans")
    inputs, targets = kept + spans, hidden + spans + 1
    return Parts(inputs, targets, targets, spans + 2, spans, inputs + targets)


def check_objective(data: DataConfig) -> None:
    """ConfigError where the objective is unknown, or has no use for a field that is given."""
    objective, end = data.objective, data.document_end
    one_of("DataConfig.objective", objective, tuple(OBJECTIVES))
    require(0 < data.corrupted < 1, f"DataConfig.corrupted = {data.corrupted}: must be between 0 and 1")
    require(data.span_length >= 1, f"DataConfig.span_length = {data.span_length}: must be 1 or more")
    require(0 < data.scored <= data.length, f"DataConfig.scored = {data.scored}: must be from 1 to {data.length}")
    uses = (("corrupted", ("span", "masked")), ("span_length", ("span",)), ("scored", ("examples",)))
    for name, having in uses:
        value, usual = getattr(data, name), getattr(type(data), name)
        said = f"DataConfig.{name} = {value} with objective = {objective!r}"
        require(value == usual or objective in having, f"{said}: {' and '.join(having)} alone have it")
    require(
        end is None or objective == "causal",
        f"DataConfig.document_end = {end} with objective = {objective!r}: "
        "documents are kept apart in causal runs alone: leave it out",
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Checked):
    """Which tokens, by content: a moved or renamed token file is the same data."""

    tokens: str  # content hash of the token file, 64 hex digits
    length: int  # context length in tokens, L
    document_end: int | None = None  # the token that ends a document, beyond which none is seen; None: all are
    objective: str = (
        "causal"  # span: T5's corruption; masked: BERT's; examples: answers; see scaling/config/objective.py
    )
    corrupted: float = 0.15  # share of a window's tokens that span and masked ask for
    span_length: float = 3.0  # mean tokens of a span
    unique: int | None = None  # training tokens that may be read, then again from the start; None: all there are
    scored: int = 1  # last tokens of an example, its answer; an example is length + 1 tokens
    corpus: str = field(default="", metadata=LABEL)  # what a person calls it

    def check(self) -> None:
        positive(self, "length")
        require(
            self.unique is None or self.unique >= self.length,
            f"DataConfig.unique = {self.unique}: must be at least one window of length = {self.length} tokens",
        )
        require(
            self.document_end is None or self.document_end >= 0,
            f"DataConfig.document_end = {self.document_end}: must be a token, 0 or more",
        )
        known = len(self.tokens) == 64 and not set(self.tokens) - set("0123456789abcdef")
        require(known, f"DataConfig.tokens = {self.tokens!r}: must be the 64 hex digits that `prepare` prints")
        check_objective(self)

    @property
    def parts(self) -> Parts:
        """What the objective makes of a window."""
        return parts(self.objective, self.length, self.corrupted, self.span_length, self.scored)

    @property
    def stride(self) -> int:
        """Tokens from one row's first to the next's: windows share a token, examples none."""
        return self.length + (self.objective == "examples")
