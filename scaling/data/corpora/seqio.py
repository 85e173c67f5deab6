"""seqio:TASK: a SeqIO task or mixture, tokenised by its own vocabulary and preprocessors.

SeqIO cuts each document at its sequence length and drops the rest; here it is given none, and the
documents are laid end to end, so every token of a task arrives. A mixture keeps its rates, and so
ends with the first of its tasks to run out, as SeqIO has it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np

from scaling.data.corpus import Tokens, known_options
from scaling.data.tensorflow import import_quietly
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Tokens:
    """Options: module (a Python module of yours that registers the task), split (train), feature (targets)."""
    known_options("seqio", options, ("module", "split", "feature"))
    try:
        seqio = import_quietly("seqio")
    except ImportError as error:
        need = "needs the [data] extra: pip install 'scaling[data]'"
        raise DataError(f"corpus seqio:{argument} {need} ({error})") from None
    feature, split = options.get("feature", "targets"), options.get("split", "train")
    try:
        if "module" in options:
            importlib.import_module(options["module"])
    except Exception as error:  # a person's own module may raise anything
        raise DataError(f"corpus seqio:{argument}: module {options['module']}: {_line(error)}") from None
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if argument not in known:
        hint = "" if "module" in options else " (name the module that registers it with module=)"
        raise DataError(f"corpus seqio:{argument}: unknown task{hint}: known are {', '.join(sorted(known)) or 'none'}")
    task = seqio.get_mixture_or_task(argument)
    if feature not in task.output_features:
        features = ", ".join(task.output_features)
        raise DataError(f"corpus seqio:{argument}: no feature {feature!r}: known are {features}")
    if split not in task.splits:
        raise DataError(f"corpus seqio:{argument}: no split {split!r}: known are {', '.join(task.splits)}")
    mixture = isinstance(task, seqio.Mixture)
    notes = ["a mixture ends with the first of its tasks to run out, what is left of the others is not used"]
    vocabulary = task.output_features[feature].vocabulary
    eod = vocabulary.eos_id
    if eod is None:
        raise DataError(f"corpus seqio:{argument}: its vocabulary has no end-of-sequence token to end documents with")

    def documents() -> Iterator[np.ndarray]:
        try:
            # The seed is for preprocessors that draw: each reading must give the same documents.
            dataset = task.get_dataset(sequence_length=None, split=split, shuffle=False, num_epochs=1, seed=0)
            for example in dataset.as_numpy_iterator():
                tokens = np.asarray(example[feature], np.int64)
                if tokens.size:
                    yield tokens if tokens[-1] == eod else np.append(tokens, eod)
        except Exception as error:  # a task's own code may raise anything
            raise DataError(f"corpus seqio:{argument}: {_line(error)}") from None

    return Tokens(documents, int(vocabulary.vocab_size), int(eod), f"seqio:{argument}", notes=notes if mixture else [])


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
