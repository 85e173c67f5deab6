"""seqio:TASK: a SeqIO task or mixture, tokenised by its own vocabulary and preprocessors.

SeqIO cuts each document at its sequence length and drops the rest; here it is given none, and the
documents are laid end to end, so every token arrives.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np

from scaling.data.corpus import Tokens, known_options
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Tokens:
    """Options: module (a Python module of yours that registers the task), split (train), feature (targets)."""
    known_options("seqio", options, ("module", "split", "feature"))
    try:
        import seqio
    except ImportError as error:
        need = "needs the [data] extra: pip install 'scaling[data]'"
        raise DataError(f"corpus seqio:{argument} {need} ({error})") from None
    feature, split = options.get("feature", "targets"), options.get("split", "train")
    try:
        if "module" in options:
            importlib.import_module(options["module"])
        task = seqio.get_mixture_or_task(argument)
    except (ImportError, ValueError) as error:
        raise DataError(f"corpus seqio:{argument}: {' '.join(str(error).split())[:300]}") from None
    if feature not in task.output_features:
        known = ", ".join(task.output_features)
        raise DataError(f"corpus seqio:{argument}: no feature {feature!r}: known are {known}")
    if split not in task.splits:
        raise DataError(f"corpus seqio:{argument}: no split {split!r}: known are {', '.join(task.splits)}")
    vocabulary = task.output_features[feature].vocabulary
    eod = vocabulary.eos_id
    if eod is None:
        raise DataError(f"corpus seqio:{argument}: its vocabulary has no end-of-sequence token to end documents with")

    def documents() -> Iterator[np.ndarray]:
        dataset = task.get_dataset(sequence_length=None, split=split, shuffle=False, num_epochs=1)
        for example in dataset.as_numpy_iterator():
            tokens = np.asarray(example[feature], np.int64)
            if tokens.size:
                yield tokens if tokens[-1] == eod else np.append(tokens, eod)

    return Tokens(documents, int(vocabulary.vocab_size), int(eod), f"seqio:{argument}")
