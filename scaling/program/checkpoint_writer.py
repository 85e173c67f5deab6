"""Writing checkpoints in the background: training waits only for the copy of the state to the host's memory.

Stages of a save: the devices start to compute the checksums, and Orbax copies the arrays to the host (training waits);
then, in a thread, Orbax writes them, all hosts exchange the checksums of their parts or the reason of a failure, and
host 0 writes curve and manifest and gives the checkpoint its name. The checkpoint exists from this last stage on.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import orbax.checkpoint as ocp

from scaling.config.validation import one_line
from scaling.distributed import collectives
from scaling.program import array_checksums
from scaling.program.checkpoint_files import (
    CheckpointError,
    CheckpointFiles,
    named_leaves,
    orbax_options,
    short_message,
)
from scaling.program.orbax_messages import silence_orbax
from scaling.store.lease import LeaseLostError
from scaling.store.verification import parquet

Curve = list[dict[str, float]]
LEASE_LOST = "lease lost: "  # start of the reason that the other hosts get when host 0 has lost the lease


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint contains besides its arrays, and what surrounds its last stage on host 0.

    Attributes:
        files: Where it is written.
        step: Steps done.
        curve: Rows of the curve up to this step.
        cost: What the run has cost so far.
        check: Called before it gets its name; raises LeaseLostError if it must not.
        complete: Called once it is complete, such as for removing older ones.
    """

    files: CheckpointFiles
    step: int
    curve: Curve
    cost: dict[str, float]
    check: Callable[[], None] = lambda: None
    complete: Callable[[], None] = lambda: None


class CheckpointWriter:
    """Writes the checkpoints of a run, one at a time; every host makes the same calls in the same order."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._saves = 0

    @property
    def failed(self) -> bool:
        """Whether the save in the background has failed; the next call of `save` or `wait` raises its error."""
        return self._error is not None

    def save(self, checkpoint: Checkpoint, state: Any) -> None:
        """Copies a state to the host and starts to write it; first waits for the save before. Keeps an existing one.

        Args:
            checkpoint: What is saved, and where.
            state: Tree of arrays; with several hosts, each host passes the same global arrays. They may be donated to
                a computation afterwards.

        Raises:
            CheckpointError: The save before, or the start of this one, failed.
            LeaseLostError: Another process has taken the run over.
            HostLostError: Another host was lost.
        """
        self.wait()
        arrays, files = named_leaves(state), checkpoint.files
        size = sum(array.nbytes for array in arrays.values())
        folder: str | None = None
        self._saves += 1
        silence_orbax()
        try:
            folder = collectives.call_on_main_host(lambda: None if files.exists() else files.start(size))
            if folder is None:
                self._run(lambda: _call_on_host_0(checkpoint.complete))
                return
            parts = [array_checksums.shard_checksums(array) for array in arrays.values()]
            orbax = ocp.StandardCheckpointer(**orbax_options(files))
            orbax.save(files.arrays_to_write(folder), arrays)
        except Exception as error:
            if folder is not None and collectives.is_main_host():
                files.abandon(folder)
            raise save_error(files, error) from error
        save = _Save(f"checkpoint/{self._saves}", checkpoint, folder, array_checksums.array_headers(arrays), parts)
        self._run(lambda: save.finish(orbax))

    def wait(self) -> None:
        """Waits for the save in the background; raises its error, as `save` does."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> str:
        """Waits for the save in the background when the run has ended by an error; returns why the save failed."""
        try:
            self.wait()
        except (LeaseLostError, collectives.HostLostError):  # the run has ended for the same reason
            return ""
        except Exception as error:
            return one_line(error)
        return ""

    def _run(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # raised by the caller's next `save` or `wait`
                self._error = error

        self._thread = threading.Thread(target=run, name="checkpoint", daemon=False)
        self._thread.start()


@dataclass(frozen=True)
class _Save:
    """A save whose arrays have been copied to the host.

    Attributes:
        key: Names its exchanges between hosts.
        checkpoint: What is saved.
        folder: Where it is written (`CheckpointFiles.start`).
        headers: Type and shape of each array.
        parts: Checksums of the shards of each array on this host.
    """

    key: str
    checkpoint: Checkpoint
    folder: str
    headers: dict[str, str]
    parts: list[list[jax.Array | int]]

    def finish(self, orbax: Any) -> None:
        """Waits until every host has written its arrays, and completes the checkpoint or removes what there is."""
        files, error = self.checkpoint.files, None
        sums: list[int] = []
        try:
            wait_for_arrays(orbax)
            sums = [array_checksums.total(parts) for parts in self.parts]
        except Exception as reason:
            error = save_error(files, reason)
            if isinstance(error, collectives.HostLostError):
                raise error from reason
        try:
            hosts: list[Any] = collectives.exchange(
                self.key, {"sums": sums, "error": "" if error is None else str(error)}
            )
        except collectives.HostLostError as lost:  # such as one that waits in Orbax for what this host failed to write
            raise lost if error is None else collectives.HostLostError(f"{lost}; on this host, {error}") from None
        message = next((host["error"] for host in hosts if host["error"]), "")
        if collectives.is_main_host() and not message:
            try:
                self.complete([host["sums"] for host in hosts])
            except Exception as reason:
                error = save_error(files, reason)
                message = (LEASE_LOST if isinstance(reason, LeaseLostError) else "") + str(error)
        [message, *_] = collectives.exchange(f"{self.key}/end", message)
        if message:
            if collectives.is_main_host():
                files.abandon(self.folder)
            raise error if error is not None else _error_of(message)
        _call_on_host_0(self.checkpoint.complete)

    def complete(self, sums: list[list[int]]) -> None:
        """Writes curve and manifest, and gives the checkpoint its name.

        Args:
            sums: Checksums of each host's part of each array.
        """
        checkpoint = self.checkpoint
        curve = parquet.rows_bytes(checkpoint.curve)
        manifest = {
            "name": checkpoint.files.name,
            "step": checkpoint.step,
            "sums": array_checksums.combined_checksums(self.headers, sums),
            "cost": checkpoint.cost,
            "curve": hashlib.sha256(curve).hexdigest(),
        }
        checkpoint.check()
        checkpoint.files.finish(self.folder, manifest, curve)


def wait_for_arrays(orbax: Any) -> None:
    """Waits until Orbax has written the arrays of all hosts."""
    try:
        orbax.wait_until_finished()
    finally:
        with contextlib.suppress(Exception):  # the error has been raised
            orbax.close()


def save_error(files: CheckpointFiles, error: Exception) -> Exception:
    """Returns the error of a save in one line: a lost host or lease as such, others as a CheckpointError."""
    reason = collectives.as_host_lost(error)
    if isinstance(reason, collectives.HostLostError | LeaseLostError):
        return reason
    return CheckpointError(f"checkpoint {files} could not be written: {short_message(error)}")


def _error_of(message: str) -> Exception:
    """Returns the error of a message that another host sent."""
    if message.startswith(LEASE_LOST):
        return LeaseLostError(message.removeprefix(LEASE_LOST))
    return CheckpointError(message)


def _call_on_host_0(function: Callable[[], None]) -> None:
    if collectives.is_main_host():
        function()
