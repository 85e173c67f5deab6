"""Opens a store by its folder or address."""

from __future__ import annotations

from pathlib import Path

from scaling.store.record import Store


def as_store(store: Store | str | Path) -> Store:
    """Returns a store as it is, or opens the one of a folder or an address."""
    return store if isinstance(store, Store) else open_store(store)


def open_store(address: str | Path, *, writes: bool = True) -> Store:
    """Opens the store in a folder or at an address (s3://, gs://, ...).

    Args:
        address: Folder or address.
        writes: Whether this process writes records and curves.

    Raises:
        StoreError: No installed package can open the address.
    """
    if "://" not in str(address):
        return Store(address, writes=writes)
    from scaling.store.remote.store import RemoteStore  # here: most stores are folders

    return RemoteStore(str(address), writes=writes)
