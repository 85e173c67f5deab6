"""Sandboxes of this machine, as this user and as an unprivileged one, and facts about the machine outside them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling.evaluation.harness.sandbox.isolation import Isolation
from tests.support.commands import ROOT

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
SOME_PYTHON = (sys.executable, "/usr/bin/python3")  # the first may be in a folder of root's
Programs = Sequence[tuple[str, str, str]]  # source, entry point, test

# Runs programs as another user, in an interpreter with nothing installed.
RUN = """
import json, sys
from scaling.evaluation.harness.sandbox.isolation import NO_ISOLATION
from scaling.evaluation.harness.sandbox.programs import Limits, Problem, find_isolation, run_programs
programs, isolated, limits = json.load(sys.stdin)
problems = [(Problem("", test, name), source) for source, name, test in programs]
print(json.dumps(run_programs(problems, find_isolation() if isolated else NO_ISOLATION, Limits(**limits))))
"""


@pytest.fixture(scope="module")
def host() -> Iterator[dict[str, Any]]:
    """What escapes look for: a file, a folder, the host's name, a process, a port and sockets."""
    folder = Path(tempfile.mkdtemp(prefix="host-"))
    folder.chmod(0o777)
    (folder / "file").write_text("known contents")
    abstract = f"abstract-{os.getpid()}"
    user = AS_NOBODY if os.geteuid() == 0 else []
    process = subprocess.Popen([*user, "sleep", "600"])
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        unix_socket(f"{folder}/socket"),
        unix_socket(f"\0{abstract}"),
    ):
        (folder / "socket").chmod(0o777)
        yield {
            "folder": str(folder), "file": str(folder / "file"), "name": os.uname().nodename, "pid": process.pid,
            "port": server.getsockname()[1], "socket": f"{folder}/socket", "abstract_socket": abstract,
        }  # fmt: skip
    process.kill()
    process.wait()
    shutil.rmtree(folder)


def unix_socket(address: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    return server


class Unprivileged:
    """Runs programs as the user nobody, with a copy of the package that this user can read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        is_usable = "import os, sys; sys.exit(sys.version_info < (3, 11) or not os.access(sys.executable, os.X_OK))"
        usable = [path for path in SOME_PYTHON if not subprocess.run([*AS_NOBODY, path, "-c", is_usable]).returncode]
        if not usable:
            pytest.skip(f"no Python 3.11 that user {NOBODY} can run: tried {', '.join(SOME_PYTHON)}")
        self.python = usable[0]
        shutil.copytree(ROOT / "scaling", folder / "scaling", ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, programs: Programs, *, isolated: bool, **limits: int) -> list[bool]:
        command = [*AS_NOBODY, self.python, "-B", "-c", RUN]
        text = json.dumps([programs, isolated, limits])
        result = subprocess.run(command, input=text, capture_output=True, text=True, cwd=self.folder, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture(scope="session")
def unprivileged(isolation: Isolation) -> Iterator[Unprivileged]:
    if os.geteuid() != 0:
        pytest.skip("only root can run programs as another user; the other tests run as an unprivileged one")
    with tempfile.TemporaryDirectory(prefix="unprivileged-") as folder:
        Path(folder).chmod(0o755)
        yield Unprivileged(Path(folder))
