"""Names of this machine and its user, and aliases of them that cannot be traced back without a key of the user.

An alias is a keyed hash (HMAC-SHA-256). A plain hash would not do: host names are easy to guess and to compare.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import hmac
import os
import secrets
import socket
from pathlib import Path

from scaling.store.files import LocalFiles, user_cache_folder

KEY_FILE = "alias.key"  # in the user's cache folder, readable by the user alone
KEY_BYTES = 32
ALIAS_DIGITS = 12  # 48 bits: no two machines of a project have the same


def alias(text: str) -> str:
    """Returns a keyed hash of a name or path: 12 hexadecimal digits, the same for all processes of this user here."""
    return hmac.new(_key(_key_folder()), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:ALIAS_DIGITS]


def machine_alias() -> str:
    """Returns a name of this machine that does not tell its host name."""
    return f"machine-{alias(socket.gethostname())}"


def user_names() -> list[str]:
    """Returns the names of the user who runs this process: of the login, and of the home folder."""
    names = [os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")]
    with contextlib.suppress(OSError, KeyError, ImportError):  # the user id has no name
        names.append(getpass.getuser())
    return list(dict.fromkeys(filter(None, [*names, home_folder().rpartition("/")[2]])))


def home_folder() -> str:
    """Returns the user's home folder, "" if it is not known."""
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def _key_folder() -> Path | None:
    try:
        return user_cache_folder()
    except RuntimeError:  # neither HOME nor XDG_CACHE_HOME, and the user id has no home folder
        return None


@functools.cache
def _key(folder: Path | None) -> bytes:
    """Returns the key of a folder; one of this process alone where the folder cannot be written."""
    with contextlib.suppress(OSError):
        if folder is not None:
            files = LocalFiles(folder)
            files.create(KEY_FILE, secrets.token_bytes(KEY_BYTES))  # it is kept if it exists
            key = files.read(KEY_FILE)
            if len(key) == KEY_BYTES:
                return key
    return secrets.token_bytes(KEY_BYTES)
