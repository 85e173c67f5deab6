"""`python -m sweeps`: quick help, one line for bad input, imports that run one way."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from scaling.config.run import RunConfig, run_id
from scaling.config.validation import from_dict
from sweeps.definitions import DEFINITIONS
from sweeps.engines import ENGINES
from sweeps.planning.corpus import find_or_prepare
from tests.support.commands import ROOT, call_command, processor_seconds


def sweeps(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sweeps", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def in_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return call_command("sweeps", *arguments)


def refused(*arguments: str, run: Callable[..., subprocess.CompletedProcess[str]] = in_process) -> str:
    """The one line that a command refuses its arguments with."""
    finished = run(*arguments)
    assert finished.returncode == 2, finished
    assert finished.stdout == ""
    assert len(finished.stderr.strip().splitlines()) == 1, finished.stderr
    return finished.stderr.strip()


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["list"]])
def test_help_and_list_answer_at_once(arguments: list[str]) -> None:
    assert any(processor_seconds(lambda: sweeps(*arguments).check_returncode()) < 0.5 for _ in range(4))


def test_list_names_each_definition_with_its_corpus() -> None:
    lines = call_command("sweeps", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(DEFINITIONS)
    assert "(corpus cpython)" in lines[0]


@pytest.mark.parametrize("command", ["plan", "check", "launch"])
def test_an_unknown_sweep_is_one_line_with_the_known_ones(command: str, tmp_path) -> None:
    output = refused(command, "nope", "--store", str(tmp_path / "s"))
    assert output.startswith("sweep 'nope': must be one of " + ", ".join(DEFINITIONS))
    assert output.endswith(", or FILE.py:FUNCTION, or files of run configs such as 'runs/*.json'")
    assert not (tmp_path / "s").exists()


def test_status_of_an_unknown_sweep_lists_those_in_the_store(tmp_path) -> None:
    assert refused("status", "nope", "--store", str(tmp_path)).endswith("it has no sweeps")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.json").write_text('{"name": "mine", "runs": []}')
    assert refused("status", "nope", "--store", str(tmp_path)).endswith("it has mine")
    (tmp_path / "sweeps" / "mine.json").write_text('{"name": "mi')
    assert "mine.json: damaged" in refused("status", "mine", "--store", str(tmp_path))


@pytest.mark.parametrize("command", ["check", "launch"])
def test_a_store_that_cannot_be_written_is_one_line(command: str, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    output = refused(command, "quickstart", "--store", str(tmp_path / "file" / "store"))
    assert output.startswith(f"store {tmp_path / 'file' / 'store'} cannot be written")


def test_a_sweep_is_not_named_by_a_path(tmp_path) -> None:
    output = refused("launch", "quickstart", "--store", str(tmp_path), "--as", "../x")
    assert "--as ../x" in output and not list(tmp_path.iterdir())


def test_an_unknown_engine_is_one_line(tmp_path) -> None:
    output = refused("launch", "quickstart", "--store", str(tmp_path / "s"), "--engine", "abacus")
    assert output == f"engine 'abacus': must be one of {', '.join(ENGINES)}, or FILE.py:NAME"


@pytest.fixture
def text(tmp_path) -> str:
    """A corpus of a person's own, of enough documents that some are held out."""
    folder = tmp_path / "text"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:02}.txt").write_text(f"document {i}\n" * 300)
    return f"text:{folder}"


def test_plan_is_the_same_with_a_store_and_without(text: str, tmp_path) -> None:
    arguments = ["plan", "quickstart", "--corpus", text, "--json"]
    finished = sweeps(*arguments)
    assert finished.returncode == 0, finished.stderr
    without_term = json.loads(finished.stdout)
    assert len({run["run_id"] for run in without_term["runs"]}) == len(without_term["runs"]) >= 20
    assert all(run["N"] > 0 and run["D"] > 0 and run["C"] > 0 for run in without_term["runs"])
    for run in without_term["runs"]:
        assert run_id(from_dict(RunConfig, run["config"])) == run["run_id"]
    path = sweeps(*arguments, "--store", str(tmp_path / "store"))
    assert json.loads(path.stdout) == without_term
    assert "prepared corpus" in path.stderr
    second = sweeps(*arguments, "--store", str(tmp_path / "store"))
    assert (json.loads(second.stdout), second.stderr) == (without_term, "")


def test_a_corpus_that_is_not_there_is_one_line(tmp_path) -> None:
    assert "unknown corpus 'nope'" in refused("plan", "quickstart", "--corpus", "nope", run=sweeps)
    arguments = ("quickstart", "--corpus", "text:/not/there", "--store", str(tmp_path))
    assert "no such file" in refused("launch", *arguments, run=sweeps)


def test_a_truncated_token_file_is_one_line_that_names_it(text: str, tmp_path) -> None:
    arguments = ["quickstart", "--corpus", text, "--store", str(tmp_path / "store")]
    finished = sweeps("check", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "vocabulary and length fit the token file" in finished.stdout
    (path,) = (tmp_path / "store" / "tokens").glob("*.tokens")
    os.truncate(path, path.stat().st_size // 2)
    for command in ("plan", "check", "launch"):
        assert f"{path}: truncated" in refused(command, *arguments)
    assert not (tmp_path / "store" / "runs").exists()


def test_a_corpus_that_brings_its_own_tokens_is_prepared_once(tmp_path) -> None:
    spec = "markov:order=1,vocab=16,tokens=20000,seed=0"
    first = find_or_prepare(tmp_path, spec)
    (path,) = (tmp_path / "tokens").glob("*.tokens")
    before = path.stat().st_mtime_ns
    assert (find_or_prepare(tmp_path, spec), first.vocab, first.name) == (first, 16, spec)
    assert path.stat().st_mtime_ns == before


def test_sweeps_imports_neither_jax_nor_analysis() -> None:
    """Read from the source, function bodies included; and by running all that a launch imports."""
    heavy = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "analysis", "matplotlib", "pandas", "scipy"}
    for path in (ROOT / "sweeps").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            unwanted = heavy - {"pandas"} if path.parent.name == "interface" else heavy  # DataFrames on demand
            assert not {name.split(".")[0] for name in names} & unwanted, path
    script = (
        "import sys, pkgutil, importlib, sweeps\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(sweeps.__path__, 'sweeps.') "
        "if m.name != 'sweeps.__main__']\n"
        f"print(*sorted({{m.split('.')[0] for m in sys.modules}} & {heavy!r}))"
    )
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.split() == []
