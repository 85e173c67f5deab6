"""Processes that prepare jobs, one at a time each; they end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from scaling.config.validation import one_line
from scaling.data.prepare.jobs import Work
from scaling.data.prepare.journal import Journal
from scaling.data.prepare.report import Report
from scaling.data.prepare.worker import JobRun, open_tokenizer
from scaling.data.tokens import CorpusError

POLL_SECONDS = 5.0  # after which a report without news is due, for the progress


@dataclass(frozen=True)
class Share:
    """The processes of a work.

    Attributes:
        processes: Number of processes.
        threads: Threads of each, where there are fewer jobs than cores.
    """

    processes: int
    threads: int


def share_cores(cores: int, jobs: int) -> Share:
    """Divides cores among processes, one per job at most.

    Args:
        cores: Number of cores.
        jobs: Number of jobs that are left.
    """
    processes = max(1, min(cores, jobs))
    return Share(processes, max(1, cores // processes))


def run_jobs(work: Work, todo: list[tuple[int, Journal]], cores: int) -> Iterator[Report]:
    """Prepares jobs and yields their reports.

    Args:
        work: The work.
        todo: Numbers of the jobs, and their journals so far.
        cores: Processes, or threads of fewer processes.

    Raises:
        CorpusError: A job cannot be prepared, or a process was killed.
        OSError: A shard cannot be written.
    """
    share = share_cores(cores, len(todo))
    if share.processes == 1:
        yield from _run_here(work, todo, share.threads)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy locks of the threads of fsspec and tokenizers
    workers: dict[Connection, Any] = {}
    try:
        for _ in range(share.processes):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, work, share.threads), daemon=True)
            process.start()
            there.close()
            workers[here] = process
        yield from _distribute(workers, todo)
    finally:
        for connection, process in workers.items():
            process.kill()  # what is incomplete is prepared again
            process.join()
            connection.close()


def _run_here(work: Work, todo: list[tuple[int, Journal]], threads: int) -> Iterator[Report]:
    tokenizer = open_tokenizer(work)
    for number, journal in todo:
        yield from JobRun(work, work.jobs[number], tokenizer).run(journal, threads)


def _distribute(workers: dict[Connection, Any], todo: list[tuple[int, Journal]]) -> Iterator[Report]:
    """Gives each process a job whenever it has none, and yields the reports of all."""
    waiting, running = list(reversed(todo)), dict[Connection, int]()

    def start(connection: Connection) -> None:
        if waiting:
            number, journal = waiting.pop()
            running[connection] = number
            try:
                connection.send((number, journal))
            except OSError:
                raise CorpusError(_death(workers[connection])) from None

    for connection in workers:
        start(connection)
    while running:
        for ready in wait(list(running), POLL_SECONDS):
            connection = cast("Connection[Any, Any]", ready)
            try:
                message = connection.recv()
            except (EOFError, OSError):
                raise CorpusError(_death(workers[connection])) from None
            if isinstance(message, BaseException):
                raise message
            yield message
            if message.complete:
                del running[connection]
                start(connection)


def _death(process: Any) -> str:
    process.join()
    code = process.exitcode
    reason = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    hint = ": if memory ran out, choose fewer --processes" if code == -signal.SIGKILL else ""
    return f"a process of the preparation ended {reason}{hint}; run the same command again to go on"


def serve(connection: Connection, work: Work, threads: int) -> None:
    """Prepares the jobs that a connection names, until it is closed; the function of a process.

    Args:
        connection: Receives numbers of jobs with their journals, and sends reports.
        work: The work.
        threads: Threads that encode at the same time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the library tokenizers
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    try:
        tokenizer = open_tokenizer(work)
        while True:
            number, journal = connection.recv()
            for report in JobRun(work, work.jobs[number], tokenizer).run(journal, threads):
                connection.send(report)
    except BaseException as error:
        if parent_is_alive():
            is_sent = isinstance(error, CorpusError | OSError) and not isinstance(error, BrokenPipeError)
            connection.send(error if is_sent else CorpusError(one_line(cast(Exception, error))))


def parent_is_alive() -> bool:
    """Whether the process that started this one still runs."""
    parent = multiprocessing.parent_process()
    return parent is not None and parent.is_alive()
