"""Records and stores: the names of `scaling.store` that other projects import."""

from scaling.store.files import write_atomic, write_json
from scaling.store.open import open_store
from scaling.store.record import Record, Store, StoreError

__all__ = ["Record", "Store", "StoreError", "open_store", "write_atomic", "write_json"]
