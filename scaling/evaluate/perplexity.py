"""The pseudo-task `perplexity`: loss on a text, token by token, so that analysis can draw it by position.

Windows are those of a run's own validation: of its length, evenly spread over the split. Bits a byte are of the bytes
that the targets stand for: the ends of documents stand for none.
"""

from __future__ import annotations

from pathlib import Path

from scaling.config.validation import require
from scaling.data.tokens import SUFFIX, TokenFile, find_tokens, open_tokens, read_header
from scaling.data.windows import validation_windows
from scaling.inference.load import TrainedModel
from scaling.inference.scorer import Scorer
from scaling.store.items import Row
from scaling.store.record import Store

TASK = "perplexity"


def task_name(tokens: str | None) -> str:
    """What the task is called: of another text than the run's own, with that text's name."""
    return TASK if tokens is None else f"{TASK}:{Path(tokens).name.removesuffix(SUFFIX)}"


def perplexity_rows(of: TrainedModel, scorer: Scorer, store: Store, tokens: str | None, count: int) -> list[Row]:
    """A row a window, a log-probability a target; DataError or ConfigError where the model cannot read the text."""
    file = open_text(of, store, tokens)
    length = of.config.data.length
    windows = validation_windows(file, length=length, sequences=count)
    scored = scorer.continuations([(window[:1].tolist(), window[1:].tolist()) for window in windows])
    out = []
    for number, (window, one) in enumerate(zip(windows, scored, strict=True)):
        row: Row = {"task": task_name(tokens), "family": TASK, "shots": 0, "step": of.step, "item": number}
        row |= {"metric_kind": "loss", "answer_tokens": length, "answer_logp": one.logp.tolist()}
        if file.tokenizer == "bytes" or file.tokenizer.startswith("sentencepiece:"):
            row["answer_bytes"] = len(of.tokenizer.decode(window[1:]))
        out.append(row)
    return out


def open_text(of: TrainedModel, store: Store, tokens: str | None) -> TokenFile:
    """A token file by its path, or by its corpus's name in the store; the run's own where none is named."""
    if tokens is None:
        return open_tokens(find_tokens(store.token_files, of.config.data.tokens))
    path = Path(tokens)
    if not path.is_file():
        there = {read_header(one)["corpus"]: one for one in store.token_files.glob(f"*{SUFFIX}")}
        require(
            tokens in there,
            f"--tokens {tokens}: no such file, and no such corpus in the store: known are {', '.join(there)}",
        )
        path = there[tokens]
    file = open_tokens(path)
    trained = of.record.about.get("tokenizer")
    require(
        file.tokenizer == trained and file.vocab <= of.model.vocab,
        f"--tokens {tokens}: its tokens are those of {file.tokenizer!r}, the run's those of {trained!r}",
    )
    return file
