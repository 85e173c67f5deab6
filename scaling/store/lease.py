"""Leases: one process at a time, on whatever machine, holds a name in a store. Standard library only.

    STORE/leases/NAME/00000007.json      the seventh holder: who it is, and a count that grows while it lives

All that is asked of the store is a file made by whoever comes first. A lease is taken over by making the next
number, which one process can do; each holder writes its own file only; a number higher than one's own means that
the lease is lost. The newest file stays when its lease is given back, so that numbers only grow.

A holder is silent when its file has not changed over SECONDS of the observer's own clock, so clocks that differ
between machines do not matter. A holder of this machine whose process is gone is silent at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from scaling.store.files import alive

SECONDS = 60.0  # of silence, after which another may take over; SCALING_LEASE_SECONDS sets another
BEATS = 6  # signs of life in that time


class Place(Protocol):
    """What a lease needs of a store; names are relative to it. OSError where the store cannot be reached."""

    name: str

    def files(self, folder: str) -> list[str]: ...

    def read(self, file: str) -> bytes:
        """FileNotFoundError where there is none."""

    def write(self, file: str, data: bytes) -> None: ...

    def create(self, file: str, data: bytes) -> bool:
        """False where the file is there already, whoever made it."""

    def remove(self, file: str) -> None: ...


class Held(RuntimeError):
    """Another process holds the lease."""


class Lost(RuntimeError):
    """Another process has taken the lease over: what it was for is that one's to write."""


def seconds() -> float:
    """Of silence that make a holder's lease another's."""
    return float(os.environ.get("SCALING_LEASE_SECONDS", SECONDS))


def machine() -> str:
    """Names the system in which a process number of ours means a process: boot, and namespace where there is one."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def born(pid: int) -> str:
    """When a process of this machine began, in ticks since its boot: tells it from a later one of the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Lease:
    """A lease that this process holds; a thread gives its signs of life."""

    def __init__(self, place: Place, name: str, number: int, owner: dict[str, Any]) -> None:
        self.place, self.name, self.number, self.owner = place, name, number, owner
        self.silence = seconds()
        self.beats = 0
        self.lost = False
        self._beaten = _clock()
        self._ended = threading.Event()
        self._busy = threading.Lock()
        self._thread = threading.Thread(target=self._live, name=f"lease {name[:20]}", daemon=True)
        self._thread.start()

    @property
    def file(self) -> str:
        return _file(self.name, self.number)

    def check(self) -> None:
        """Lost where another has taken over; asks the store where our last sign of life is old."""
        if not self.lost and _clock() - self._beaten > self.silence / 2:
            self._beat()
        if self.lost:
            raise Lost(
                f"{self.name[:12]}: another process took it over, for this one was silent for {self.silence:g} s"
            )

    def release(self) -> None:
        """Gives the lease back."""
        self._ended.set()
        with self._busy, contextlib.suppress(OSError):  # a store that is gone will find us silent
            if not self.lost and self._ours():
                self.place.write(self.file, _text(self.owner, self.beats, released=True))
        self.lost = True
        _LIVE.discard(self.owner["token"])  # after that file is written: whoever follows removes it

    def _live(self) -> None:
        while not self._ended.wait(self.silence / BEATS):
            with contextlib.suppress(OSError):  # not to be reached now: again soon, and `check` asks before a write
                self._beat()

    def _beat(self) -> None:
        with self._busy:
            if self._ended.is_set() or self.lost:
                return
            if not self._ours():
                self.lost = True
                return
            self.beats += 1
            self.place.write(self.file, _text(self.owner, self.beats))
            self._beaten = _clock()

    def _ours(self) -> bool:
        return max(_numbers(self.place, self.name), default=0) == self.number


def take(place: Place, name: str) -> Lease:
    """The lease on a name; Held where another process has it and is not known to be silent (ask again)."""
    newest = max(_numbers(place, name), default=0)
    if newest:
        holder = _holder(place, name, newest)
        if holder is not None:
            raise Held(holder)
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "machine": machine(), "born": born(os.getpid())}
    owner["token"] = token = secrets.token_hex(8)
    _LIVE.add(token)  # before the file is there for another thread to see
    try:
        if not place.create(_file(name, newest + 1), _text(owner, 0)):
            raise Held("another process, just now")
        numbers = _numbers(place, name)
        if max(numbers, default=0) > newest + 1:  # it was taken and given back while we looked
            raise Held("another process, just now")
    except BaseException:
        _LIVE.discard(token)
        raise
    for old in numbers:
        if old <= newest:
            place.remove(_file(name, old))
    _SEEN.pop((place.name, name), None)
    return Lease(place, name, newest + 1, owner)


@contextlib.contextmanager
def held(place: Place, name: str) -> Iterator[Lease]:
    """Holds the lease on a name; Held where another process has it."""
    lease = take(place, name)
    try:
        yield lease
    finally:
        lease.release()


def abandoned(place: Place, name: str) -> bool:
    """Whether the name was somebody's and is nobody's: given back, or its holder is gone, or silent while we looked."""
    newest = max(_numbers(place, name), default=0)
    return newest > 0 and _holder(place, name, newest) is None


_LIVE: set[str] = set()  # tokens of the leases of this process
_SEEN: dict[tuple[str, str], tuple[tuple[int, bytes], float, float]] = {}  # what was seen, when last, silent for


def _holder(place: Place, name: str, number: int) -> str | None:
    """Who holds this number; None where it was given back, or its holder is gone or silent."""
    try:
        data = place.read(_file(name, number))
    except FileNotFoundError:  # a moment ago: its successor is there
        return "another process, just now"
    said = _parsed(data)
    if said.get("released"):
        return None
    owner = said.get("owner", {})
    pid = owner.get("pid")
    if pid is not None and owner["machine"] == machine() and not _lives(owner):
        return None
    if _silent((place.name, name), (number, data)) > seconds():
        return None
    return f"process {pid} on {owner['host']}" if pid is not None else "another process"


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the process of this machine is there and, where it is this one, still has that lease."""
    pid = owner["pid"]
    return alive(pid) and born(pid) == owner["born"] and (pid != os.getpid() or owner["token"] in _LIVE)


def _silent(key: tuple[str, str], now: tuple[int, bytes]) -> float:
    """Seconds over which we have seen no change; one look counts for a third of what it takes, lest we slept."""
    clock = time.monotonic()
    seen, last, silent = _SEEN.get(key, (now, clock, 0.0))
    silent = silent + min(clock - last, seconds() / 3) if seen == now else 0.0
    _SEEN[key] = (now, clock, silent)
    return silent


def _clock() -> float:
    """Seconds that go on while the machine sleeps, where there are such."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _file(name: str, number: int) -> str:
    return f"leases/{name}/{number:08d}.json"


def _numbers(place: Place, name: str) -> list[int]:
    found = (file.removesuffix(".json") for file in place.files(f"leases/{name}") if file.endswith(".json"))
    return [int(number) for number in found if number.isdigit()]


def _text(owner: dict[str, Any], beats: int, *, released: bool = False) -> bytes:
    return json.dumps({"owner": owner, "beats": beats} | ({"released": True} if released else {})).encode()


def _parsed(data: bytes) -> dict[str, Any]:
    """Empty where the file is half written."""
    try:
        said = json.loads(data)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
