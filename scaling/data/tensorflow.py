"""TensorFlow, imported without what it says of itself: a person is to read our one line, not its twenty."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def import_quietly(name: str) -> ModuleType:
    """TensorFlow and then the module `name` that stands on it; ImportError as ever.

    TensorFlow's libraries write to the file descriptor itself, past sys.stderr and before any log
    level is read, so the descriptor is turned away for as long as the import takes.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.set_visible_devices([], "GPU")  # it would take all the memory of a card it has no use for
        return importlib.import_module(name)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
