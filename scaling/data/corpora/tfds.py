"""tfds:NAME: TensorFlow Datasets, through its own loader; a document an example."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.corpus import Text, known_options
from scaling.data.tensorflow import import_quietly
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """Options: split (train; train[:10%] and train+test too), feature (text), data_dir.

    The order is that of the files: one after the other, never shuffled or interleaved.
    """
    known_options("tfds", options, ("split", "feature", "data_dir"))
    try:
        tfds = import_quietly("tensorflow_datasets")
    except ImportError as error:
        need = "needs the [data] extra: pip install 'scaling[data]'"
        raise DataError(f"corpus tfds:{argument} {need} ({error})") from None
    feature, split = options.get("feature", "text"), options.get("split", "train")
    try:
        builder = tfds.builder(argument, data_dir=options.get("data_dir"))
        builder.download_and_prepare()
        features, splits = sorted(builder.info.features), sorted(builder.info.splits)
    except Exception as error:  # unknown names, missing downloads and bad versions each have a class of their own
        raise DataError(f"corpus tfds:{argument}: {' '.join(str(error).split())[:300]}") from None
    if feature not in features:
        raise DataError(f"corpus tfds:{argument}: no feature {feature!r}: known are {', '.join(features)}")
    try:
        total = builder.info.splits[split].num_examples
    except (KeyError, ValueError, AssertionError):  # an unknown name, or a slice that cannot be read
        known = ", ".join(splits)
        raise DataError(f"corpus tfds:{argument}: no split {split!r}: known are {known}, and slices of them") from None

    def documents() -> Iterator[bytes]:
        in_order = tfds.ReadConfig(interleave_cycle_length=1)
        examples = builder.as_dataset(split=split, shuffle_files=False, read_config=in_order)
        for number, example in enumerate(tfds.as_numpy(examples)):
            document = example[feature]
            if not isinstance(document, bytes):
                raise DataError(f"corpus tfds:{argument}: feature {feature!r} is not text: name another with feature=")
            try:
                document.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"document {number} is not UTF-8 at byte offset {error.start}"
                raise DataError(f"corpus tfds:{argument}: {where}") from None
            if document:
                yield document

    return Text(documents, total)
