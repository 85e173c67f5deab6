"""No program gets out of its sandbox, as root and as an unprivileged user; without the sandbox each attempt works.

The last part holds the tests to account: an attempt that works nowhere would show nothing.
"""

import inspect
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.evaluation.harness.sandbox.isolation import NO_ISOLATION, UNPRIVILEGED_ID, Isolation
from scaling.evaluation.harness.sandbox.programs import Limits, Problem, program_passes, run_programs
from tests.scaling.evaluation.sandbox import escapes
from tests.scaling.evaluation.sandbox.conftest import Programs, Unprivileged
from tests.support.commands import ROOT

ESCAPES = {name: inspect.getsource(f) for name, f in vars(escapes).items() if inspect.isfunction(f)}
FILLING = ("writes_40_megabytes", "writes_a_large_file", "writes_5000_files", "makes_a_folder_2000_deep")
OF_ROOT = ("renames_the_host", "has_capabilities", "makes_a_device")  # no other user can do this anywhere
EMPTY_ANYWAY = ("sees_the_environment", "has_files_open")  # also without isolation
GENEROUS = {"memory": 4 * 2**30, "file_bytes": 2**30, "open_files": 1024}

ALL_ESCAPES = """
def successful_escapes(host):
    names = []
    for escape in ({escapes}):
        try:
            names += [escape.__name__] if escape(host) is True else []
        except BaseException:
            pass
    return names
"""


def attempts(host: dict[str, Any]) -> Programs:
    """A program for each escape, which passes where the escape succeeds."""
    test = f"def check(escape):\n    assert escape({host!r}) is True\n"
    return [(source, name, test) for name, source in ESCAPES.items()]


def run(programs: Programs, isolated: Isolation, **limits: int) -> list[bool]:
    return run_programs(
        [(Problem("", test, name), source) for source, name, test in programs], isolated, Limits(**limits)
    )


def test_no_escape_succeeds(isolation: Isolation, host: dict[str, Any]) -> None:
    """All in one program but those that fill its folder, which have one each."""
    together = [name for name in ESCAPES if name not in FILLING]
    source = "\n\n".join(ESCAPES[name] for name in together) + ALL_ESCAPES.format(escapes=", ".join(together))
    test = f"def check(escapes):\n    assert escapes({host!r}) == []\n"
    programs = [program for program in attempts(host) if program[1] in FILLING]
    assert run([(source, "successful_escapes", test), *programs], isolation) == [True] + [False] * len(FILLING)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, isolation: Isolation, host: dict[str, Any]
) -> dict[str, tuple[bool, bool]]:
    """Of each escape as one user: whether it succeeds in a sandbox, and without one."""
    programs = attempts(host)
    if request.param == "nobody":
        unprivileged: Unprivileged = request.getfixturevalue("unprivileged")
        results = unprivileged.run(programs, isolated=True), unprivileged.run(programs, isolated=False, **GENEROUS)
    else:
        results = run(programs, isolation), run(programs, NO_ISOLATION, **GENEROUS)
    return dict(zip(ESCAPES, zip(*results, strict=True), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("outcomes", ["this user", "nobody"], indirect=True)
def test_each_escape_fails_in_a_sandbox_and_works_without(
    outcomes: dict[str, tuple[bool, bool]], name: str, request: pytest.FixtureRequest
) -> None:
    is_root = os.geteuid() == 0 and request.node.callspec.params["outcomes"] != "nobody"
    works = name not in EMPTY_ANYWAY and (is_root or name not in OF_ROOT)
    assert outcomes[name] == (False, works)


@pytest.mark.parametrize("name", EMPTY_ANYWAY)
def test_an_ordinary_process_has_an_environment_and_what_is_inherited(name: str, host: dict[str, Any]) -> None:
    pipes = [end for _ in range(3) for end in os.pipe()]
    try:
        check = f"{ESCAPES[name]}\nassert {name}({host!r}) is True"
        assert subprocess.run([sys.executable, "-I", "-S", "-c", check], pass_fds=pipes, check=False).returncode == 0
    finally:
        for end in pipes:
            os.close(end)


LITTER = {
    "a folder 2,000 deep": ESCAPES["makes_a_folder_2000_deep"],
    "a folder that may not be read": "def litter(host):\n    import os\n    os.makedirs('a/b')\n    os.chmod('a', 0)\n",
    "a link": "def litter(host):\n    import os\n    os.symlink(host['folder'], 'link')\n",
    "a process": "def litter(host):\n    import subprocess\n    subprocess.Popen(['sleep', '600'])\n",
}


@pytest.mark.parametrize("litter", LITTER)
def test_without_a_sandbox_nothing_is_left_behind(
    litter: str, host: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = LITTER[litter].replace("makes_a_folder_2000_deep", "litter")
    test = f"def check(litter):\n    litter({host!r})\n"
    before = sleeping()
    assert program_passes(Problem("", test, "litter"), source, NO_ISOLATION)
    assert list(tmp_path.iterdir()) == [] and Path(host["file"]).exists()
    assert sleeping() == before


def sleeping() -> set[str]:
    """The processes that are `sleep 600`."""
    return {path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if read_or_empty(path) == b"sleep\0600\0"}


def read_or_empty(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


MARK = 7654321  # a limit that no other sandbox has: it shows the processes of these tests
SLEEPS = Problem("", "def check(sleep):\n    sleep(600)\n", "sleep")


def marked_processes() -> set[Path]:
    return {path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if str(MARK).encode() in read_or_empty(path)}


def interpreters(evaluation: Path) -> set[Path]:
    """The processes inside the sandboxes of an evaluation."""
    return {path for path in marked_processes() - {evaluation} if b"python" in read_or_empty(path / "comm")}


def wait_for(condition: Callable[[], object], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(result)


RUN_MARKED = f"""
import sys
from scaling.evaluation.harness.sandbox.programs import Limits, Problem, find_isolation, program_passes
problem = Problem("", {SLEEPS.test!r}, "sleep")
program_passes(problem, "from time import sleep", find_isolation(), Limits(file_bytes={MARK}))
"""


def test_a_killed_evaluation_leaves_no_process(isolation: Isolation) -> None:
    """The processes of sandboxes are an unprivileged user's, have own namespaces, and end with what started them."""
    process = subprocess.Popen([sys.executable, "-c", RUN_MARKED], cwd=ROOT)
    try:
        evaluation = Path("/proc", str(process.pid))
        assert wait_for(lambda: len(interpreters(evaluation)) == 2)
        for path in interpreters(evaluation):
            status = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines())
            assert set(status["Uid"].split()) == {str(UNPRIVILEGED_ID if os.geteuid() == 0 else os.geteuid())}
            assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            for namespace in ("user", "pid", "net", "uts", "ipc", "mnt"):
                assert os.readlink(path / "ns" / namespace) != os.readlink(f"/proc/self/ns/{namespace}"), namespace
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert wait_for(lambda: not marked_processes())


def test_a_program_beyond_the_time_limit_ends(isolation: Isolation) -> None:
    started = time.monotonic()
    assert not program_passes(SLEEPS, "from time import sleep", isolation, Limits(wall_seconds=0.3, file_bytes=MARK))
    assert time.monotonic() - started < 5 and wait_for(lambda: not marked_processes())


@pytest.mark.slow
def test_a_program_beyond_the_limit_of_processor_time_ends(isolation: Isolation) -> None:
    started = time.monotonic()
    spins = Problem("", "def check(spin):\n    spin()\n", "spin")
    assert not program_passes(spins, "def spin():\n    while True: pass\n", isolation, Limits(cpu_seconds=1))
    assert time.monotonic() - started < 10
