"""tfds:NAME: TensorFlow Datasets, through its own loader; a document an example."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.corpus import Text, known_options
from scaling.data.quiet import import_quietly
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """Options: split (train), feature (text), data_dir. The order is the files', never shuffled."""
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
    if split not in splits:
        raise DataError(f"corpus tfds:{argument}: no split {split!r}: known are {', '.join(splits)}")

    def documents() -> Iterator[bytes]:
        examples = builder.as_dataset(split=split, shuffle_files=False)
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

    return Text(documents, builder.info.splits[split].num_examples)
