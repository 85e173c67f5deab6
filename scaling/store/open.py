"""Opens a store by its folder or address."""

from __future__ import annotations

from pathlib import Path

from scaling.store.files import StoreError
from scaling.store.record import Store

FOLDERS = ("runs", "sweeps", "checkpoints", "tokens", "leases")


def as_store(store: Store | str | Path) -> Store:
    """Returns a store as it is, or opens the one of a folder or an address."""
    return store if isinstance(store, Store) else open_store(store)


def open_store(address: str | Path, *, writes: bool = True) -> Store:
    """Opens the store in a folder or at an address (s3://, gs://, ...).

    Args:
        address: Folder or address.
        writes: Whether this process writes records and curves.

    Raises:
        StoreError: No installed package can open the address, or a file or broken link is in place of a folder.
    """
    if "://" not in str(address):
        for path in (Path(address), *(Path(address) / name for name in FOLDERS)):
            if path.is_file() or (path.is_symlink() and not path.exists()):
                raise StoreError(f"{path}: must be a folder: move this file or link away, or choose another store")
        return Store(address, writes=writes)
    from scaling.store.remote.store import RemoteStore  # here: most stores are folders

    return RemoteStore(str(address), writes=writes)
