"""Corpora in files of other tools: JSON lines, Parquet, data sets of Hugging Face `datasets`, and ArrayRecord.

A corpus is a `DocumentSource` (scaling/data/corpus.py): parts that any process reads on its own. `addresses` lists and
opens files, local or at an address that fsspec knows. Heavy libraries are imported when a corpus is opened.
"""

from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, raise_bad

__all__ = ["BadRecord", "DocumentSource", "OnBad", "Part", "raise_bad"]
