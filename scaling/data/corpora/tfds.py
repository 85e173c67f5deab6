"""tfds:NAME: TensorFlow Datasets, through its own loader; one document per example.

Its own split `validation` is held out, where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scaling.data.corpus import HELD_OUT_NOTE, TextCorpus, check_options, validation_split
from scaling.data.tensorflow import import_quietly
from scaling.data.tokens import CorpusError


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens a data set, downloaded where it is not there yet.

    Args:
        argument: Name of the data set.
        options: split (train unless given; train[:10%] and train+test are allowed), validation (split that is held out,
            or none; `validation` where the data set has it), feature (text), data_dir.

    Raises:
        CorpusError: The data set, split or feature is unknown, or TensorFlow Datasets is not installed.
    """
    check_options("tfds", options, ("split", "validation", "feature", "data_dir"))
    try:
        tfds = import_quietly("tensorflow_datasets")
    except ImportError as error:
        install = "needs the [data] extra: pip install 'scaling[data]'"
        raise CorpusError(f"corpus tfds:{argument} {install} ({error})") from None
    feature, split = options.get("feature", "text"), options.get("split", "train")
    try:
        builder = tfds.builder(argument, data_dir=options.get("data_dir"))
        builder.download_and_prepare()
        features, splits = sorted(builder.info.features), sorted(builder.info.splits)
    except Exception as error:  # unknown names, missing downloads and bad versions raise classes of their own
        raise CorpusError(f"corpus tfds:{argument}: {' '.join(str(error).split())[:300]}") from None
    if feature not in features:
        raise CorpusError(f"corpus tfds:{argument}: no feature {feature!r}: must be one of {', '.join(features)}")
    try:
        total = builder.info.splits[split].num_examples
    except (KeyError, ValueError, AssertionError):  # an unknown name, or a slice that cannot be parsed
        known = f"must be one of {', '.join(splits)}, or a slice of one"
        raise CorpusError(f"corpus tfds:{argument}: no split {split!r}: {known}") from None
    held_out = validation_split(f"corpus tfds:{argument}", options, split, splits)
    if held_out is None:
        return TextCorpus(partial(read_documents, argument, tfds, builder, split, feature), total)
    return TextCorpus(
        partial(read_documents, argument, tfds, builder, split, feature), total, [HELD_OUT_NOTE.format(held_out)],
        validation=partial(read_documents, argument, tfds, builder, held_out, feature),
    )  # fmt: skip


def read_documents(name: str, tfds: Any, builder: Any, split: str, feature: str) -> Iterator[bytes]:
    """Yields the documents in the order of the files, neither shuffled nor interleaved.

    Args:
        name: Name of the data set, for messages.
        tfds: The module tensorflow_datasets.
        builder: Builder of the data set.
        split: Name of the split.
        feature: Name of the text feature.

    Raises:
        CorpusError: A document is not text in UTF-8.
    """
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    examples = builder.as_dataset(split=split, shuffle_files=False, read_config=in_order)
    for number, example in enumerate(tfds.as_numpy(examples)):
        document = example[feature]
        if not isinstance(document, bytes):
            raise CorpusError(f"corpus tfds:{name}: feature {feature!r} is not text: choose another with feature=")
        try:
            document.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"corpus tfds:{name}: document {number} is not UTF-8 at byte offset {error.start}"
            ) from None
        if document:
            yield document
