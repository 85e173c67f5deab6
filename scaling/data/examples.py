"""The rows that a run's program reads, by its objective: windows as they are, corrupted ones, or examples."""

from __future__ import annotations

import numpy as np

from scaling.config.run import RunConfig
from scaling.data import corruption
from scaling.data import windows as windows_module
from scaling.data.tokens import DataError, TokenFile


def check(tokens: TokenFile, config: RunConfig) -> None:
    """DataError where the run cannot be trained on the file."""
    data, vocab = config.data, config.model.vocab
    windows_module.check(tokens, vocab=vocab, length=data.length, document_end=data.document_end)
    if data.objective == "examples":
        check_whole(tokens, config)
    there = windows_module.windows(len(tokens.train), data.length, data.stride) * data.length
    if data.unique is not None and data.unique > there:
        raise DataError(f"data.unique = {data.unique}: must be at most the {there:,} training tokens of {tokens.path}")
    least = tokens.vocab + data.parts.specials
    if vocab < least:
        raise DataError(
            f"model.vocab = {vocab}: objective {data.objective!r} needs {data.parts.specials} tokens beyond the "
            f"{tokens.vocab} of {tokens.path}: set it to at least {least}"
        )


def check_whole(tokens: TokenFile, config: RunConfig) -> None:
    """DataError where the file is no list of examples of that many tokens."""
    each, known = config.data.stride, tokens.facts.get("example")
    if known not in (None, each):
        raise DataError(f"data.length = {each - 1}: the examples of {tokens.path} have {known} tokens: set {known - 1}")
    for split, count in zip(("train", "validation"), tokens.counts, strict=True):
        if count % each:
            raise DataError(
                f"data.length = {each - 1} with objective 'examples': the {split} split of {tokens.path} has "
                f"{count:,} tokens, no whole number of examples of {each}"
            )


def training(tokens: TokenFile, config: RunConfig, rows: np.ndarray) -> np.ndarray:
    """Those rows of a run, numbered from its start: int32 (rows, data.parts.columns)."""
    data = config.data
    windows = windows_module.sequences(
        tokens, seed=config.seed, length=data.length, rows=rows, unique=data.unique, stride=data.stride
    )
    return made(windows, rows, tokens, config, f"seed {config.seed}")


def held_out(tokens: TokenFile, config: RunConfig) -> np.ndarray:
    """The validation rows: the same for every run of this objective, whatever its seed."""
    data, most = config.data, config.eval.sequences
    windows = windows_module.validation_windows(tokens, length=data.length, sequences=most, stride=data.stride)
    return made(windows, np.arange(len(windows)), tokens, config, "validation")


def followed(tokens: TokenFile, config: RunConfig) -> np.ndarray | None:
    """Training examples whose figures are measured beside the validation's, at most as many; None of other rows."""
    data, most = config.data, config.eval.sequences
    if data.objective != "examples":
        return None
    return windows_module.followed(tokens, length=data.length, sequences=most, unique=data.unique, stride=data.stride)


def made(windows: np.ndarray, rows: np.ndarray, tokens: TokenFile, config: RunConfig, stream: str) -> np.ndarray:
    """Windows of data.length + 1 tokens as the objective wants them; of corrupted ones the last token is the next's."""
    data, vocab = config.data, config.model.vocab
    if data.objective in ("causal", "examples"):
        return windows
    key, own = f"corruption {tokens.content_hash} {data.length} {stream}", windows[:, :-1]
    if data.objective == "span":
        return corruption.spans_cut(own, rows, key=key, parts=data.parts, vocab=vocab)
    return corruption.masked(own, rows, key=key, parts=data.parts, vocab=vocab, known=tokens.vocab)
