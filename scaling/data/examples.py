"""The rows that a run's program reads: windows, corrupted windows or question-answer examples, by its objective."""

from __future__ import annotations

import numpy as np

from scaling.config.run import RunConfig
from scaling.data import corruption
from scaling.data import windows as windows_module
from scaling.data.shards.blocks import BlockOrder
from scaling.data.tokens import CorpusError, TokenFile
from scaling.data.windows import WindowOrder


def check_run(tokens: TokenFile, config: RunConfig) -> None:
    """Checks that a run can be trained on a token file.

    Args:
        tokens: The token file.
        config: The run.

    Raises:
        CorpusError: It cannot; the message says which field to change.
    """
    data, vocab = config.data, config.model.vocab
    windows_module.check_token_file(tokens, vocab=vocab, length=data.length, document_end=data.document_end)
    if data.objective == "examples":
        check_examples(tokens, data.stride)
    available = windows_module.count_windows(len(tokens.train), data.length, data.stride) * data.length
    if data.unique is not None and data.unique > available:
        raise CorpusError(
            f"data.unique = {data.unique}: must be at most the {available:,} training tokens of {tokens.path}"
        )
    required = tokens.vocab + data.layout.specials
    if vocab < required:
        raise CorpusError(
            f"model.vocab = {vocab}: objective {data.objective!r} needs {data.layout.specials} tokens beyond the "
            f"{tokens.vocab} of {tokens.path}: set it to at least {required}"
        )


def check_examples(tokens: TokenFile, example_length: int) -> None:
    """Checks that a token file is a list of examples of one length.

    Args:
        tokens: The token file.
        example_length: Tokens of an example, data.length + 1.

    Raises:
        CorpusError: Its examples have another length, or a split is no whole number of examples.
    """
    length, actual = example_length - 1, tokens.facts.get("example")
    if actual not in (None, example_length):
        raise CorpusError(
            f"data.length = {length}: the examples of {tokens.path} have {actual} tokens: set {actual - 1}"
        )
    for split, count in zip(("train", "validation"), tokens.counts, strict=True):
        if count % example_length:
            raise CorpusError(
                f"data.length = {length} with objective 'examples': the {split} split of {tokens.path} has "
                f"{count:,} tokens, no whole number of examples of {example_length}"
            )


def row_order(tokens: TokenFile, config: RunConfig) -> WindowOrder:
    """Returns which windows of the training split a run reads, and in which order.

    Args:
        tokens: The token file.
        config: The run.
    """
    data = config.data
    blocks = BlockOrder(data.block_tokens, data.block_group) if data.order == "blocks" else None
    return WindowOrder(tokens, config.seed, data.length, data.unique, data.stride, blocks)


def training_rows(tokens: TokenFile, config: RunConfig, rows: np.ndarray) -> np.ndarray:
    """Returns training rows of a run.

    Args:
        tokens: The token file.
        config: The run.
        rows: Numbers of the rows, from the start of the run.

    Returns:
        int32 (rows, data.layout.columns).
    """
    windows = windows_module.read_rows(row_order(tokens, config), rows)
    return apply_objective(windows, rows, tokens, config, f"seed {config.seed}")


def validation_rows(tokens: TokenFile, config: RunConfig) -> np.ndarray:
    """Returns the validation rows, the same for every run of this objective and length, whatever its seed.

    Args:
        tokens: The token file.
        config: The run; eval.sequences is the number of rows.

    Returns:
        int32 (eval.sequences, data.layout.columns), or all rows of the split where it has fewer.
    """
    data, sequences = config.data, config.eval.sequences
    windows = windows_module.validation_windows(tokens, length=data.length, sequences=sequences, stride=data.stride)
    return apply_objective(windows, np.arange(len(windows)), tokens, config, "validation")


def fixed_training_rows(tokens: TokenFile, config: RunConfig) -> np.ndarray | None:
    """Returns training examples that are evaluated along with the validation rows; None for other objectives.

    Args:
        tokens: The token file.
        config: The run; eval.sequences is the number of rows.
    """
    if config.data.objective != "examples":
        return None
    return windows_module.fixed_training_windows(row_order(tokens, config), config.eval.sequences)


def apply_objective(
    windows: np.ndarray, rows: np.ndarray, tokens: TokenFile, config: RunConfig, stream: str
) -> np.ndarray:
    """Corrupts windows where the objective does; a corrupted row lacks the last token, the first of the next window.

    Args:
        windows: Tokens, int32 (rows, data.length + 1).
        rows: Numbers of the rows, which seed their corruption.
        tokens: The token file.
        config: The run.
        stream: Separates the corruption of training and validation, and of each seed.
    """
    data, vocab = config.data, config.model.vocab
    if data.objective in ("causal", "examples"):
        return windows
    key, window_SL = f"corruption {tokens.content_hash} {data.length} {stream}", windows[:, :-1]
    if data.objective == "span":
        return corruption.corrupt_spans(window_SL, rows, key=key, layout=data.layout, vocab=vocab)
    return corruption.mask_tokens(window_SL, rows, key=key, layout=data.layout, vocab=vocab, text_vocab=tokens.vocab)
