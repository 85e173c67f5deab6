"""tfds:NAME: TensorFlow Datasets, through its own loader; a document an example."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.corpus import Text, known_options
from scaling.data.tokens import DataError


def open_corpus(argument: str, options: dict[str, str]) -> Text:
    """Options: split (train), feature (text), data_dir. The order is the files', never shuffled."""
    known_options("tfds", options, ("split", "feature", "data_dir"))
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(f"corpus tfds:{argument} needs the [data] extra: pip install 'scaling[data]' ({error})") from None
    feature, split = options.get("feature", "text"), options.get("split", "train")
    try:
        builder = tfds.builder(argument, data_dir=options.get("data_dir"))
        builder.download_and_prepare()
        features, splits = list(builder.info.features), list(builder.info.splits)
    except Exception as error:  # unknown names, missing downloads and bad versions each have a class of their own
        raise DataError(f"corpus tfds:{argument}: {' '.join(str(error).split())[:300]}") from None
    if feature not in features:
        raise DataError(f"corpus tfds:{argument}: no feature {feature!r}: known are {', '.join(features)}")
    if split not in splits:
        raise DataError(f"corpus tfds:{argument}: no split {split!r}: known are {', '.join(splits)}")

    def documents() -> Iterator[bytes]:
        examples = builder.as_dataset(split=split, shuffle_files=False)
        for example in tfds.as_numpy(examples):
            if example[feature]:
                yield bytes(example[feature])

    return Text(documents, builder.info.splits[split].num_examples)
