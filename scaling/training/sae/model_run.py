"""The run of the model whose activations an autoencoder reads: it must have done its last step."""

from __future__ import annotations

from scaling.config.run import RunConfig
from scaling.store.files import StoreError
from scaling.store.lease import LeaseHeldError
from scaling.store.record import Store


def model_problem(config: RunConfig, store: Store, sweep: str | None) -> StoreError | None:
    """Returns why the model of an autoencoder cannot be read; None if it can, or if the activations are from a file.

    Args:
        config: The run of the autoencoder.
        store: The store.
        sweep: Name of the sweep that is trained.

    Raises:
        LeaseHeldError: The model is still to be trained: another process trains it, or the sweep will.
    """
    sae = config.sae
    if sae is None or sae.model_run is None:
        return None
    name = sae.model_run
    store.fetch_record(name)
    record = store.read_intact(name)
    status = "not in the store" if record is None else record.status
    if status == "done":
        return None
    text = f"its model, run {name[:12]}"
    if record is not None and status in ("failed", "diverged"):
        return StoreError(f"{text}: {status}: no autoencoder is trained on it: see `python -m sweeps status`")
    is_planned = sweep is not None and any(entry["run_id"] == name for entry in store.sweep(sweep) or ())
    if is_planned or (status == "running" and not store.is_abandoned(name)):
        raise LeaseHeldError(f"{text}, is not trained yet ({status})")
    return StoreError(f"{text}: {status}: train it first: python -m scaling train CONFIG.json --store {store.root}")
