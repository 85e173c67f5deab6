"""Tests that names, cells and columns of files reach the terminal as literal text without control characters."""

import dataclasses
import json

import numpy as np
import pytest

from scaling.store.record import Store
from tests.support.commands import call_command
from tests.support.records import config, record_of

HOSTILE = ("[red]x[/red]", "[/]", ":smile:", "\x1b]0;title\x07", "\x1b[2J", "a\rb", "\u202eevil", "\x9b31m")
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x202E) if chr(code) != "\n"]


def assert_literal(result, *names):
    text = result.stdout + result.stderr
    assert not [repr(c) for c in CONTROLS if c in text]
    for name in names:
        assert name in text


@pytest.fixture
def runs():
    random = np.random.default_rng(0)
    N, D = np.geomspace(1e7, 1e9, 40), 1e9 * np.exp(random.uniform(0, 4, 40))
    L = 1.7 + 400 / N**0.34 + 410 / D**0.28
    return [{"N": n, "D": d, "L": loss} for n, d, loss in zip(N.tolist(), D.tolist(), L.tolist(), strict=True)]


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


def test_groups_and_names_of_runs_are_literal(tmp_path, runs):
    groups = ("[red]x[/red]\x1b]0;title\x07", "[/]\n\x1b[2J")
    rows = [row | {"recipe": groups[i % 2], "run": f"{HOSTILE[i % 8]}\n{i}"} for i, row in enumerate(runs)]
    path = write(tmp_path / "runs.json", rows)
    result = call_command("analysis", "optimum", path, "--by", "recipe", "--bootstrap", 100)
    assert result.returncode == 0, result.stderr
    assert_literal(result, r"[red]x[/red]\x1b]0;title\x07", r"[/]\n\x1b[2J")


def test_an_error_about_a_hostile_name_is_one_line(tmp_path, runs):
    rows = [row | {"run": "\x1b[2J[/]\nrun"} for row in runs] + [{"N": 1e8, "D": "\x1b[31mmany", "L": 2.0, "run": "a"}]
    result = call_command("analysis", "fit", write(tmp_path / "runs.json", rows))
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert_literal(result)


def test_names_of_columns_are_literal(tmp_path, runs):
    rows = [{f"{name}\nx": 1 for name in HOSTILE} | row for row in runs]
    for row in rows:
        row.pop("L")
    result = call_command("analysis", "fit", write(tmp_path / "runs.json", rows))
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert_literal(result, "[red]x[/red] x", r"\x1b[2J x")


def test_tables_of_tasks_do_not_interpret_markup(tmp_path):
    rows = [
        {"model": f"m{i}", "loss": 4 - i / 8, "task": name, "score": min(1.0, 0.05 * i), "n": 200}
        for i in range(12)
        for name in HOSTILE
    ]
    path = write(tmp_path / "scores.json", rows)
    result = call_command("analysis", "emergence", path)
    assert result.returncode == 0, result.stderr
    assert_literal(result, "[red]x[/red]", ":smile:", r"\x1b[2J")


def test_a_store_with_hostile_sweeps_is_printed_literally(tmp_path):
    store = Store(tmp_path)
    for i, name in enumerate(HOSTILE):
        subject = config(16 + 16 * i, 100)
        store.write(dataclasses.replace(record_of(subject), sweep=name + "\nnext"))
    result = call_command("analysis", "table", tmp_path)
    assert_literal(result, r"[red]x[/red]\nnext", r"\x1b[2J\nnext")
    assert len(result.stdout.splitlines()) == 2 + len(HOSTILE)
