"""Import of TensorFlow without its log output."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def import_quietly(name: str) -> ModuleType:
    """Imports TensorFlow and then a module that depends on it.

    TensorFlow's libraries write to file descriptor 2 directly, before any log level is read, so the descriptor is
    redirected during the import.

    Args:
        name: Name of the module.

    Raises:
        ImportError: TensorFlow or the module is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.set_visible_devices([], "GPU")  # it would reserve all memory of a GPU that it does not use
        return importlib.import_module(name)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
