"""Preparation of a corpus: its documents are tokenised, split and written as a token file.

`single` writes one token file.
"""

from scaling.data.prepare.options import PrepareOptions
from scaling.data.prepare.prepare import prepare

__all__ = ["PrepareOptions", "prepare"]
