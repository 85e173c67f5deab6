"""`status --watch`: redrawn on a terminal, plain elsewhere, ended by an interrupt or with the sweep."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.store.record import Store
from tests.support.commands import ROOT, call_command, command
from tests.support.sweeps import planned_in_store, write_ended


def watching(store: Path, *more: str) -> tuple[subprocess.Popen, int]:
    """`status --watch` on a terminal of its own, 80 × 40."""
    terminal, published_values = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "40", "TERM": "xterm-256color"}
    line = [sys.executable, "-m", "sweeps", "status", "grid", "--store", str(store), "--watch", "0.1", *more]
    process = subprocess.Popen(
        line, cwd=ROOT, env=environment, stdin=published_values, stdout=published_values, stderr=published_values
    )
    os.close(published_values)
    return process, terminal


def heard(terminal: int, words: str, seconds: float = 60.0) -> str:
    """What is on the terminal up to some words."""
    text, until = "", time.monotonic() + seconds
    while words not in text:
        assert time.monotonic() < until, text
        text += os.read(terminal, 65536).decode("utf-8", "replace")
    return text


def last_words(process: subprocess.Popen, terminal: int, seconds: float = 60.0) -> str:
    """What a process writes until it ends: a terminal that nobody reads would hold it up."""
    text, until = "", time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < until, text
        if select.select([terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                text += os.read(terminal, 65536).decode("utf-8", "replace")
    return text


@pytest.mark.slow
def test_a_watch_redraws_in_place_and_an_interrupt_ends_it_cleanly(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    planned = planned_in_store(store)
    process, folder = watching(store.root, "--html", str(tmp_path / "page.html"))
    try:
        heard(folder, "4 waiting")
        write_ended(store, planned.runs[0].config)
        text = heard(folder, "1 done")
        assert "\x1b[1A" in text or "\x1b[2K" in text  # moved up and cleared, not printed below
        process.send_signal(signal.SIGINT)
        text += last_words(process, folder)
        assert process.returncode == 0
        assert "Traceback" not in text
        assert "1 done" in (tmp_path / "page.html").read_text()
    finally:
        process.kill()
        process.wait()
        os.close(folder)


def test_a_watch_ends_by_itself_when_the_sweep_is_over_and_is_plain_without_a_terminal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for run in planned_in_store(store).runs:
        write_ended(store, run.config)
    finished = command("sweeps", "status", "grid", "--store", tmp_path, "--watch")
    assert finished.returncode == 0 and "4 done of 4 runs" in finished.stdout and "\x1b" not in finished.stdout
    refused = call_command("sweeps", "status", "grid", "--store", tmp_path, "--watch", "0", "--json")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
