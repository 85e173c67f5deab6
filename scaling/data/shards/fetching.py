"""Fetches in threads: each is done once, few are under way at a time, and those that wait can be preferred."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
WORKERS = 16  # fetches under way: 16 pieces of 4 MiB in 92 ms each are 730 MB/s


class Fetcher(Generic[T]):
    """Fetches by number. At most WORKERS are under way; others wait, and a process that ends does not run them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: dict[int, Future[T]] = {}  # of fetches that wait or are under way
        self._waiting: dict[int, Callable[[], T]] = {}  # in order

    def enqueue(self, number: int, work: Callable[[], T], *, now: bool = False) -> Future[T]:
        """Starts a fetch as soon as a worker is free.

        Args:
            number: Names the fetch; of several with one name, only the first is done until it ends.
            work: What it does.
            now: Whether it is started before those that wait.

        Returns:
            The future of its result, which is not kept here.
        """
        with self._lock:
            future = self._futures.get(number)
            if future is None:
                future = self._futures[number] = Future()
                self._waiting[number] = work
            if now:
                self.start(number)
            self._start_waiting()
            return future

    def start(self, number: int) -> None:
        """Starts a fetch before those that wait; does nothing for one that does not wait."""
        with self._lock:
            if (work := self._waiting.pop(number, None)) is None:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="fetch")
            self._pool.submit(self._run, number, work)

    def _run(self, number: int, work: Callable[[], T]) -> None:
        future = self._futures[number]
        try:
            future.set_result(work())
        except BaseException as error:  # raised where the result is used
            future.set_exception(error)
        with self._lock:
            del self._futures[number]
            self._start_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._futures) - len(self._waiting) < WORKERS:
            self.start(next(iter(self._waiting)))
