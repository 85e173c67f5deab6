"""The task `perplexity`: the loss of each token of a text, so that analysis can plot it by position.

The windows are chosen as for the validation loss: of the run's context length, evenly spaced over the split. Bits per
byte use the bytes of the target tokens; an end-of-document token has no bytes.
"""

from __future__ import annotations

from pathlib import Path

from scaling.config.validation import require
from scaling.data.corpora.specification import stored_corpus_name
from scaling.data.tokens import (
    SUFFIX,
    TEXT_TOKENIZERS,
    TokenFile,
    find_tokens,
    is_sharded,
    open_tokens,
    read_header,
    token_paths,
)
from scaling.data.windows import validation_windows
from scaling.evaluation.config import PERPLEXITY
from scaling.inference.load import TrainedModel
from scaling.inference.parameters import require_text
from scaling.inference.scorer import Scorer
from scaling.store.items import Row
from scaling.store.record import Store


def task_name(tokens: str | None) -> str:
    """Returns the name of the task, followed by the name of the text unless it is the run's own.

    Args:
        tokens: Path of a token file or name of a corpus; None for the run's own text.
    """
    return PERPLEXITY if tokens is None else f"{PERPLEXITY}:{Path(tokens).name.removesuffix(SUFFIX)}"


def perplexity_rows(scorer: Scorer, store: Store, tokens: str | None, count: int) -> tuple[list[Row], list[str]]:
    """Scores windows of a text.

    Args:
        scorer: The model.
        store: The store that has the token files.
        tokens: As for `open_text`.
        count: Largest number of windows.

    Returns:
        One row per window with the log-probability of each target, and a note where there are fewer windows.

    Raises:
        CorpusError: There is no such token file, or it is damaged or too short.
        ConfigError: The model cannot read the text.
    """
    model = scorer.model
    file, length = open_text(model, store, tokens), model.config.data.length
    windows = validation_windows(file, length=length, sequences=count)
    scores = scorer.score_continuations([(window[:1].tolist(), window[1:].tolist()) for window in windows])
    rows = []
    for number, (window, score) in enumerate(zip(windows, scores, strict=True)):
        row: Row = {
            "task": task_name(tokens), "family": PERPLEXITY, "shots": 0, "step": model.step, "item": number,
            "metric_kind": "loss", "answer_tokens": length, "answer_logp": score.logp.tolist(),
        }  # fmt: skip
        if file.tokenizer.partition(":")[0] in TEXT_TOKENIZERS:
            row["answer_bytes"] = len(model.tokenizer.decode(window[1:]))
        rows.append(row)
    fewer = f"task {task_name(tokens)}: {len(rows)} windows of {length} tokens instead of {count}: the text has no more"
    return rows, [fewer] if len(rows) < count else []


def open_text(model: TrainedModel, store: Store, tokens: str | None) -> TokenFile:
    """Opens the token file of a text.

    Args:
        model: The model.
        store: The store that has the token files.
        tokens: Path of a token file or name of a corpus in the store; None for the run's own text.

    Raises:
        CorpusError: There is no such token file, or it is damaged.
        ConfigError: Its tokens are not those of the run's tokeniser.
    """
    if tokens is None:
        require_text(model.record)
        return open_tokens(find_tokens(store.token_files, model.config.data.tokens))
    path = Path(tokens)
    if not (path.is_file() or (path.is_dir() and is_sharded(path))):
        by_corpus = {read_header(file)["corpus"]: file for file in token_paths(store.token_files)}
        tokens = stored_corpus_name(tokens, store.token_files)
        require(
            tokens in by_corpus,
            f"--tokens {tokens}: must be a token file, or a corpus of the store: {', '.join(by_corpus) or 'none'}",
        )
        path = by_corpus[tokens]
    file = open_tokens(path)
    trained_on = model.record.about.get("tokenizer")
    require(
        file.tokenizer == trained_on and file.vocab <= model.model.vocab,
        f"--tokens {tokens}: its tokenizer is {file.tokenizer!r}, the run's is {trained_on!r}",
    )
    return file
