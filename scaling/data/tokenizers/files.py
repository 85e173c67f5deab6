"""The file of a tokeniser: read where the user names it, kept beside the tokens, verified when it is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from scaling.config.os_errors import open_file, reason_of_os_error
from scaling.data.tokens import CorpusError
from scaling.store.files import PLAIN_NAME, write_atomic

MAX_BYTES = 1 << 30  # of a tokeniser's file; those of the largest vocabularies have 35 MB


def read_tokenizer_file(path: Path, name: str) -> bytes:
    """Reads the file of a tokeniser.

    Args:
        path: The file.
        name: The tokeniser as the user named it, for messages.

    Raises:
        CorpusError: It cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorpusError(f"tokenizer {name}: {path}: has more than {MAX_BYTES:,} bytes: is no tokenizer")
        with open_file(path) as file:
            return file.read()
    except OSError as error:
        raise CorpusError(f"tokenizer {name}: {path}: {reason_of_os_error(error)}") from None


def keep_tokenizer_file(folder: Path, kind: str, suffix: str, data: bytes) -> dict[str, Any]:
    """Saves the file of a tokeniser under its hash and returns the facts that name it.

    Args:
        folder: Folder of the token files.
        kind: Start of its name.
        suffix: End of its name.
        data: Its content.
    """
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{kind}-{digest[:16]}{suffix}"
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, data)
    return {"tokenizer_model": path.name, "tokenizer_sha256": digest}


def read_kept_file(name: str, facts: dict[str, Any], folder: Path) -> bytes:
    """Reads the file that `keep_tokenizer_file` saved.

    Args:
        name: Name of the tokeniser.
        facts: Facts of a token file.
        folder: Folder of the token file.

    Raises:
        CorpusError: The file is missing or altered.
    """
    file = str(facts.get("tokenizer_model"))
    path = folder / (file if PLAIN_NAME.fullmatch(file) else "unnamed")
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != facts.get("tokenizer_sha256"):
        state = "altered" if data else "missing"
        raise CorpusError(f"{path}: {state}: it is the {name} model of the run's text: copy it from the original store")
    return data
