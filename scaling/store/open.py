"""scaling.store.open."""

from __future__ import annotations

from pathlib import Path

from scaling.store.record import Store


def open_store(where: str | Path, *, writes: bool = True) -> Store:
    """The store in a folder, or at an address (s3://, gs://, ...); StoreError where nothing here can open it."""
    if "://" not in str(where):
        return Store(where, writes=writes)
    from scaling.store.remote import RemoteStore

    return RemoteStore(str(where), writes=writes)
