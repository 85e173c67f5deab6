"""Tokenisers of text, one module per kind.

`bytes` (`plain`), `sentencepiece:V` and `sentencepiece:FILE.model` (`sentencepiece_model`), `hf:PATH` (`hugging_face`)
and `tiktoken:NAME|FILE` (`tiktoken_ranks`). `make` opens a tokeniser that the user names, or the one of a token file by
its name and facts. `tokenizer` has the dataclass, `special` keeps special tokens out of documents, and `files` keeps
the tokeniser's file beside the tokens.
"""

from scaling.data.tokenizers.make import load_tokenizer, make_tokenizer, stored_tokenizer_name
from scaling.data.tokenizers.plain import BYTES_EOD
from scaling.data.tokenizers.sentencepiece_model import sentencepiece_tokenizer, train_sentencepiece
from scaling.data.tokenizers.tokenizer import Tokenizer

__all__ = [
    "BYTES_EOD",
    "Tokenizer",
    "load_tokenizer",
    "make_tokenizer",
    "sentencepiece_tokenizer",
    "stored_tokenizer_name",
    "train_sentencepiece",
]
