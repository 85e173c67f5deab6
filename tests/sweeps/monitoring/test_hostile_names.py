"""Tests that names, errors and logs of runs reach the terminal of a sweep as literal text."""

import dataclasses
import io

import pytest
from rich.console import Console

from scaling.store.record import Store
from sweeps.monitoring import live
from sweeps.monitoring.terminal import screen
from tests.support.commands import call_command
from tests.support.records import add_record, config

HOSTILE = "[red]x[/red] [/] :smile: \x1b]0;title\x07 \x1b[2J \u202eevil a\rb\nnext"
LITERAL = r"[red]x[/red] [/] :smile: \x1b]0;title\x07 \x1b[2J \u202eevil a\rb\nnext"


@pytest.fixture
def store(tmp_path):
    store, subject = Store(tmp_path), config(16, 100)
    record = add_record(store, subject, status="failed", loss=None)
    store.write_sweep("small", [subject], [record.run_id], [{"N": 1, "D": 1, "C": 1, "from": 0}])
    store.write(dataclasses.replace(record, about={"error": HOSTILE}))
    return store


def test_an_error_in_a_record_is_literal(store):
    result = call_command("sweeps", "status", "small", "--store", store.root)
    assert result.returncode == 0, result.stderr
    assert LITERAL in result.stdout and "\x1b" not in result.stdout


def test_a_screen_does_not_interpret_names_states_and_logs():
    run = {
        "run_id": "ab",
        "state": "failed",
        "width": 8,
        "layers": 1,
        "N": 1,
        "by": [],
        "error": HOSTILE,
        "log": [HOSTILE],
    }
    status = {
        "sweep": HOSTILE,
        "counts": {"failed": 1, HOSTILE: 1},
        "runs": [run],
        "axes": {"x": "N", "by": []},
        "cost": {"share_done": 0.5, "flops_quoted": 1.0},
    }
    output = io.StringIO()
    console = Console(file=output, width=400)
    for line in screen(status, 400):
        console.print(line)
    assert output.getvalue().count(LITERAL) == 4
    assert "\x1b" not in output.getvalue()


def test_a_progress_bar_does_not_interpret_its_description():
    output = io.StringIO()
    bar = live.ProgressBar(HOSTILE, 1.0, live.PERCENT_COLUMNS)
    bar.progress.console.file = output
    bar.start()
    bar.update(0.5, HOSTILE)
    bar.print_line(HOSTILE)
    bar.stop()
    assert "[red]x[/red]" in output.getvalue() and "\x1b]0;" not in output.getvalue()
