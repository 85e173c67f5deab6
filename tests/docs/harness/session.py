"""One page's blocks run in one folder: commands by bash, Python in one interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.docs.harness.blocks import Block
from tests.support.commands import ROOT

# The interpreter of a page: it reads {"name", "line", "code"} per line, runs it and answers "done" or "failed" on a
# pipe of its own, because commands that the code starts write to standard output too.
INTERPRETER = r"""
import json, linecache, os, sys, traceback
sys.path.insert(0, "")
answers, names = os.fdopen(int(sys.argv[1]), "w"), {"__name__": "__main__"}
for request in map(json.loads, sys.stdin):
    code, name = "\n" * (request["line"] - 1) + request["code"], request["name"]
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    try:
        exec(compile(code, name, "exec"), names)
        answer = "done"
    except BaseException:
        traceback.print_exc()
        answer = "failed"
    sys.stdout.flush(), sys.stderr.flush()
    print(answer, file=answers, flush=True)
"""
BASH = """\
make() { command make -C "$CHECKOUT" STORE="$PWD/demo/store" OUT="$PWD/demo/report" "$@"; }
trap 'echo "exit status $? of: $BASH_COMMAND" >&3' ERR
"""


class BlockError(AssertionError):
    """A block of a page does not do what the page says."""


@dataclass
class Session:
    """A folder in which the blocks of a page run.

    Attributes:
        folder: The folder, empty at first.
        variables: Environment variables that the page may use besides those of a reader.
        interpreter: The Python process of the page, once it has a block of Python.
        answers: Its answers.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    interpreter: subprocess.Popen[str] | None = None
    answers: TextIO | None = None

    def run(self, block: Block) -> str:
        """Runs a block.

        Args:
            block: The block.

        Returns:
            What it printed, on either stream; the session's folder is written as `...`.

        Raises:
            BlockError: It failed, or has another exit status than its title says.
        """
        printed = self.run_python(block) if block.language == "python" else self.run_bash(block)
        return printed.replace(str(self.folder), "...")

    def copy_store(self, store: Path, name: str) -> None:
        """Copies a store into the folder; the variable RUN is the id of its run of the lowest loss."""
        shutil.copytree(store, self.folder / name)
        records = [json.loads(path.read_text()) for path in (self.folder / name / "runs").glob("*/record.json")]
        self.variables["RUN"] = min(records, key=lambda record: record["final"]["loss"])["run_id"][:12]

    def write(self, block: Block) -> None:
        """Writes a block to the file that its title names."""
        assert block.file_name
        path = self.folder / block.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, "utf-8")

    def run_bash(self, block: Block) -> str:
        """Runs the commands of a block; the first that fails ends it."""
        report = self.folder.parent / f"{self.folder.name}.failed"
        script = f"exec 3>{report}\n{BASH}{block.code}"
        done = subprocess.run(
            ["bash", "-eE", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env={**environment(), **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode != block.exit_status:
            expected = f"; expected {block.exit_status}" if block.exit_status else ""
            raise BlockError(f"{block.place}: {report.read_text().strip()}{expected}\n{done.stdout}")
        return done.stdout

    def run_python(self, block: Block) -> str:
        """Runs Python code in the namespace of the page."""
        log = self.folder.parent / f"{self.folder.name}.log"
        if self.interpreter is None:
            read, write = os.pipe()
            with log.open("w") as output:
                self.interpreter = subprocess.Popen(
                    [sys.executable, "-u", "-c", INTERPRETER, str(write)],
                    cwd=self.folder,
                    env={**environment(), **self.variables},
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    pass_fds=(write,),
                )
            os.close(write)
            self.answers = os.fdopen(read)
        before = log.stat().st_size
        assert self.interpreter.stdin and self.answers
        request = {"name": str(block.page), "line": block.line, "code": block.code}
        print(json.dumps(request), file=self.interpreter.stdin, flush=True)
        answer = next(self.answers, "the interpreter ended\n").strip()
        printed = log.read_bytes()[before:].decode()
        if answer != "done":
            raise BlockError(f"{block.place}: {answer}\n{printed}")
        return printed

    def close(self) -> None:
        """Ends the interpreter."""
        if self.interpreter is not None:
            assert self.interpreter.stdin and self.answers
            self.interpreter.stdin.close()
            self.interpreter.wait(timeout=60)
            self.answers.close()


@contextmanager
def open_session(folder: Path) -> Iterator[Session]:
    """Opens a session in a new folder, and ends its processes afterwards.

    Args:
        folder: The folder, which must not exist.
    """
    folder.mkdir(parents=True)
    session = Session(folder)
    try:
        yield session
    finally:
        session.close()


def environment() -> dict[str, str]:
    """Returns the environment of a reader: none of the tests' settings, `python` and the commands of this environment.

    JAX's cache of compiled programs is that of the tests, so that each shape is compiled once.
    """
    test_settings = ("XLA_FLAGS", "JAX_NUMPY_RANK_PROMOTION", "PYTHONPATH", "UPDATE_OUTPUTS")
    kept = {k: v for k, v in os.environ.items() if k not in test_settings and not k.startswith("PYTEST_")}
    commands = str(Path(sys.executable).parent)
    path = os.pathsep.join([commands, kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "CHECKOUT": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1", "MPLBACKEND": "Agg"}
