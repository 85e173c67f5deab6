"""seqio:TASK: a SeqIO task or mixture, tokenised by its own vocabulary and preprocessors.

Its own split `validation` is held out, where it has one. No sequence length is set, so SeqIO does not truncate
documents: they are concatenated, and every token of a task is used. A mixture keeps its rates, so it ends when the
first of its tasks is exhausted.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from scaling.data.corpus import HELD_OUT_NOTE, TokenCorpus, check_options, validation_split
from scaling.data.tensorflow import import_quietly
from scaling.data.tokens import CorpusError

MIXTURE_NOTE = "the mixture ends when its first task is exhausted; the remaining documents of the others are not used"


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens a task or mixture.

    Args:
        argument: Name of the task or mixture.
        options: module (a Python module that registers the task), split (train unless given), validation (split that is
            held out, or none; `validation` where the task has it), feature (targets).

    Raises:
        CorpusError: The task, split or feature is unknown, or SeqIO is not installed.
    """
    check_options("seqio", options, ("module", "split", "validation", "feature"))
    corpus = f"corpus seqio:{argument}"
    try:
        seqio = import_quietly("seqio")
    except ImportError as error:
        install = "needs the [data] extra: pip install 'scaling[data]'"
        raise CorpusError(f"{corpus} {install} ({error})") from None
    feature, split = options.get("feature", "targets"), options.get("split", "train")
    try:
        if "module" in options:
            importlib.import_module(options["module"])
    except Exception as error:  # the module is the user's and may raise anything
        raise CorpusError(f"{corpus}: module {options['module']}: {_one_line(error)}") from None
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if argument not in known:
        hint = "" if "module" in options else " (name the module that registers it with module=)"
        choice = f"must be one of {', '.join(sorted(known))}" if known else "no task is registered"
        raise CorpusError(f"{corpus}: unknown task{hint}: {choice}")
    task = seqio.get_mixture_or_task(argument)
    for name, value, allowed in (("feature", feature, task.output_features), ("split", split, task.splits)):
        if value not in allowed:
            raise CorpusError(f"{corpus}: no {name} {value!r}: must be one of {', '.join(allowed)}")
    vocabulary = task.output_features[feature].vocabulary
    if vocabulary.eos_id is None:
        raise CorpusError(f"{corpus}: its vocabulary has no end-of-sequence token, which must end each document")
    eod = int(vocabulary.eos_id)
    held_out = validation_split(corpus, options, split, task.splits)
    notes = [MIXTURE_NOTE] if isinstance(task, seqio.Mixture) else []
    return TokenCorpus(
        partial(read_documents, task, split, feature, eod), int(vocabulary.vocab_size), eod, f"seqio:{argument}",
        notes=notes + ([HELD_OUT_NOTE.format(held_out)] if held_out else []),
        validation=partial(read_documents, task, held_out, feature, eod) if held_out else None,
    )  # fmt: skip


def read_documents(task: Any, split: str, feature: str, eod: int) -> Iterator[np.ndarray]:
    """Yields the documents of a task as tokens, each ending in `eod`.

    Args:
        task: The SeqIO task or mixture.
        split: Name of the split.
        feature: Name of the feature with the tokens.
        eod: The token that ends a document.

    Raises:
        CorpusError: A preprocessor of the task failed.
    """
    try:
        # Seeded for preprocessors that draw random numbers: each reading must give the same documents.
        dataset = task.get_dataset(sequence_length=None, split=split, shuffle=False, num_epochs=1, seed=0)
        for example in dataset.as_numpy_iterator():
            tokens = np.asarray(example[feature], np.int64)
            if tokens.size:
                yield tokens if tokens[-1] == eod else np.append(tokens, eod)
    except Exception as error:  # a task's own code may raise anything
        raise CorpusError(f"corpus seqio:{task.name}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
