"""Leases: at most one process, on any machine, has the lease on a name in a store. Standard library only.

    STORE/leases/NAME/00000007.json      the seventh holder: its process, and a heartbeat counter

The store must support creating a file only if it does not exist. A process takes over a lease by creating the file with
the next number, in which only one process succeeds. A holder writes only its own file; if a file with a higher number
exists, its lease is lost. The newest file is kept after a release, so numbers only increase.

A holder is considered dead if its file has not changed for SILENCE_SECONDS on the observer's clock; clocks of machines
need not agree. A holder on this machine is considered dead as soon as its process does not exist.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from scaling.config.text import printable
from scaling.store.files import process_exists
from scaling.store.origin.machine import alias, machine_alias

SILENCE_SECONDS = 60.0  # without a heartbeat, after which another process may take over
HEARTBEATS = 6  # in that time
NOT_A_FILE = (errno.EISDIR, errno.EINVAL, errno.ELOOP)  # errors of a directory, a FIFO and a link to itself
MAX_PID = 2**31 - 1  # of pid_t


class FileStorage(Protocol):
    """The file operations that leases need of a store; paths are relative to it. OSError if it cannot be reached."""

    name: str

    def files(self, folder: str) -> list[str]:
        """Lists the names of the files in a folder; returns an empty list if the folder does not exist."""

    def read(self, file: str) -> bytes:
        """Reads a file; FileNotFoundError if it does not exist."""

    def write(self, file: str, data: bytes) -> None:
        """Writes a file, replacing it if it exists.

        Args:
            file: The file.
            data: Its content.
        """

    def create(self, file: str, data: bytes) -> bool:
        """Creates a file; returns False if it already exists.

        Args:
            file: The file.
            data: Its content.
        """

    def remove(self, file: str) -> None:
        """Removes a file if it exists."""


class LeaseHeldError(RuntimeError):
    """Another process holds the lease; the message names it."""


class LeaseLostError(RuntimeError):
    """Another process has taken over the lease; this process must not write the protected files any more."""


def silence_seconds() -> float:
    """Returns the seconds without a heartbeat after which a lease may be taken over (SCALING_LEASE_SECONDS)."""
    return float(os.environ.get("SCALING_LEASE_SECONDS", SILENCE_SECONDS))


def machine_id() -> str:
    """Returns an id of the system within which process ids are unique: boot id and, on Linux, PID namespace."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def process_start(pid: int) -> str:
    """Returns the start time of a process in ticks since boot, which distinguishes it from later ones with its id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Lease:
    """A lease of this process; a thread writes its heartbeats.

    Attributes:
        storage: Storage of the lease.
        name: Name of the lease.
        number: Number of the holder and of its file.
        owner: Facts about the process, as written to the file.
        silence: Seconds without a heartbeat after which another process may take over.
        beats: Heartbeats so far.
        lost: Whether the lease is known to be lost or was released.
    """

    def __init__(self, storage: FileStorage, name: str, number: int, owner: dict[str, Any]) -> None:
        self.storage, self.name, self.number, self.owner = storage, name, number, owner
        self.silence = silence_seconds()
        self.beats = 0
        self.lost = False
        self._last_beat = _clock()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._send_heartbeats, name=f"lease {name[:20]}", daemon=True)
        self._thread.start()

    @property
    def file(self) -> str:
        """File of the lease, relative to the store."""
        return _file_name(self.name, self.number)

    def check(self) -> None:
        """Raises LeaseLostError if another process has taken over; sends a heartbeat if the last one is old."""
        if not self.lost and _clock() - self._last_beat > self.silence / 2:
            self._beat()
        if self.lost:
            raise LeaseLostError(
                f"{self.name[:12]}: another process took it over because this one was silent for {self.silence:g} s"
            )

    def release(self) -> None:
        """Releases the lease."""
        self._ended.set()
        with self._lock, contextlib.suppress(OSError):  # if the store is unreachable, the silence releases it
            if not self.lost and self._is_newest():
                self.storage.write(self.file, _file_text(self.owner, self.beats, released=True))
        self.lost = True
        _HELD_TOKENS.discard(self.owner["token"])  # after the file is written: the next holder removes it

    def _send_heartbeats(self) -> None:
        while not self._ended.wait(self.silence / HEARTBEATS):
            with contextlib.suppress(OSError):  # unreachable now: the next heartbeat tries again; writers call `check`
                self._beat()

    def _beat(self) -> None:
        with self._lock:
            if self._ended.is_set() or self.lost:
                return
            if not self._is_newest():
                self.lost = True
                return
            self.beats += 1
            self.storage.write(self.file, _file_text(self.owner, self.beats))
            self._last_beat = _clock()

    def _is_newest(self) -> bool:
        return max(_numbers(self.storage, self.name), default=0) == self.number


def acquire_lease(storage: FileStorage, name: str, *, anonymous: bool = False) -> Lease:
    """Acquires the lease on a name.

    Args:
        storage: Storage of leases.
        name: Name of the lease.
        anonymous: Write aliases of this machine instead of its names.

    Raises:
        LeaseHeldError: Another process has it and is not known to be dead. Detecting a dead holder on another machine
            takes several calls within SILENCE_SECONDS.
    """
    newest = max(_numbers(storage, name), default=0)
    if newest:
        holder = _holder(storage, name, newest)
        if holder is not None:
            raise LeaseHeldError(holder)
    pid = os.getpid()
    host, machine = (machine_alias(), alias(machine_id())) if anonymous else (socket.gethostname(), machine_id())
    owner: dict[str, Any] = {"host": host, "pid": pid, "machine": machine, "born": process_start(pid)}
    owner["token"] = token = secrets.token_hex(8)
    _HELD_TOKENS.add(token)  # before other threads can see the file
    try:
        if not storage.create(_file_name(name, newest + 1), _file_text(owner, 0)):
            raise LeaseHeldError("another process, just now")
        numbers = _numbers(storage, name)
        if max(numbers, default=0) > newest + 1:  # acquired and released by another process meanwhile
            raise LeaseHeldError("another process, just now")
    except BaseException:
        _HELD_TOKENS.discard(token)
        raise
    for number in numbers:
        if number <= newest:
            with contextlib.suppress(OSError):  # such as a directory with the name of a lease's file
                storage.remove(_file_name(name, number))
    _OBSERVED.pop((storage.name, name), None)
    return Lease(storage, name, newest + 1, owner)


@contextlib.contextmanager
def hold_lease(storage: FileStorage, name: str, *, anonymous: bool = False) -> Iterator[Lease]:
    """Acquires the lease on a name and releases it at the end of the context.

    Args:
        storage: Storage of leases.
        name: Name of the lease.
        anonymous: As for `acquire_lease`.

    Raises:
        LeaseHeldError: Another process has it.
    """
    lease = acquire_lease(storage, name, anonymous=anonymous)
    try:
        yield lease
    finally:
        lease.release()


def is_abandoned(storage: FileStorage, name: str) -> bool:
    """Returns whether a lease was acquired once and is free now: it was released, or its holder is dead.

    Args:
        storage: Storage of leases.
        name: Name of the lease.
    """
    newest = max(_numbers(storage, name), default=0)
    return newest > 0 and _holder(storage, name, newest) is None


# Tokens of the leases of this process
_HELD_TOKENS: set[str] = set()
# By storage and name: number and content of the newest file, when it was read, and seconds without a change
_OBSERVED: dict[tuple[str, str], tuple[tuple[int, bytes], float, float]] = {}


def _holder(storage: FileStorage, name: str, number: int) -> str | None:
    """Describes the holder with this number; returns None if it released the lease or is dead."""
    file = _file_name(name, number)
    try:
        data = storage.read(file)
    except FileNotFoundError:  # removed by its successor just now; a link to a missing file stays
        data = b""
    except OSError as error:
        if error.errno not in NOT_A_FILE:
            raise
        data = b"not a file"  # no process writes one
    owner, released = _parse_file(data)
    if released:
        return None
    if owner is not None and owner["machine"] in (machine_id(), alias(machine_id())) and not _owner_exists(owner):
        return None
    if _seconds_unchanged((storage.name, name), (number, data)) > silence_seconds():
        return None
    if owner is not None:
        return f"process {owner['pid']} on {printable(owner['host'])}"
    if not data:  # the file was just created
        return "another process"
    return f"a process whose lease file {storage.name}/{file} is unreadable"


def _owner_exists(owner: dict[str, Any]) -> bool:
    """Returns whether a process of this machine exists and, if it is this process, still has the lease."""
    pid = owner["pid"]
    is_same_process = process_exists(pid) and process_start(pid) == owner["born"]
    return is_same_process and (pid != os.getpid() or owner.get("token") in _HELD_TOKENS)


def _seconds_unchanged(key: tuple[str, str], content: tuple[int, bytes]) -> float:
    """Returns the seconds for which this process has observed no change of a lease's file.

    The time between two reads counts at most as a third of the silence, because this process may have been suspended.
    """
    clock = time.monotonic()
    previous, read_at, unchanged = _OBSERVED.get(key, (content, clock, 0.0))
    unchanged = unchanged + min(clock - read_at, silence_seconds() / 3) if previous == content else 0.0
    _OBSERVED[key] = (content, clock, unchanged)
    return unchanged


def _clock() -> float:
    """Returns a clock in seconds that also runs while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _file_name(name: str, number: int) -> str:
    return f"leases/{name}/{number:08d}.json"


def _numbers(storage: FileStorage, name: str) -> list[int]:
    stems = (file.removesuffix(".json") for file in storage.files(f"leases/{name}") if file.endswith(".json"))
    return [int(stem) for stem in stems if stem.isascii() and stem.isdecimal()]


def _file_text(owner: dict[str, Any], beats: int, *, released: bool = False) -> bytes:
    return json.dumps({"owner": owner, "beats": beats} | ({"released": True} if released else {})).encode()


def _parse_file(data: bytes) -> tuple[dict[str, Any] | None, bool]:
    """Parses the file of a lease.

    Returns:
        The owner, None if the file is empty, incomplete or has fields of other types; and whether it was released.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None, False
    if not isinstance(content, dict):
        return None, False
    owner = content.get("owner")
    return owner if _is_owner(owner) else None, content.get("released") is True


def _is_owner(value: Any) -> bool:
    """Returns whether a value has the fields of an owner with their types; early versions wrote no `token`."""
    if not isinstance(value, dict):
        return False
    texts = (value.get("host"), value.get("machine"), value.get("born"), value.get("token", ""))
    pid = value.get("pid")
    return all(isinstance(text, str) for text in texts) and type(pid) is int and 0 < pid <= MAX_PID
