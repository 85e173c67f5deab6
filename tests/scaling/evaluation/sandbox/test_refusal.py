"""Where programs cannot be isolated they are not run: one line says what is missing, before a model is loaded."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.__main__ import main
from scaling.config.validation import ConfigError
from scaling.evaluation.harness.sandbox import isolation as isolation_module
from scaling.evaluation.harness.sandbox.isolation import Isolation
from scaling.evaluation.harness.sandbox.programs import find_isolation
from tests.scaling.evaluation.sandbox.conftest import Unprivileged
from tests.support.commands import ROOT

FIND = """
from scaling.evaluation.harness.sandbox.programs import find_isolation
try:
    print(find_isolation().name)
except ValueError as error:
    print(error)
"""
WITHOUT = "--unsafe-run-code runs them without isolation"
# Inside this sandbox, which has all files, no user namespaces can be made; its user is root or not.
NO_NAMESPACES = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    find_isolation.cache_clear()
    yield
    find_isolation.cache_clear()


def evaluate(*options: str) -> list[str]:
    """Arguments of an evaluation of a run that does not exist: what is said first is what is checked first."""
    return ["evaluate", "none", "--store", "no-store", "--harness", "humaneval", "--harness-path", "no", *options]


def test_without_bubblewrap_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(evaluate("--run-code")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "bubblewrap (bwrap) is not installed: install it (apt-get install bubblewrap" in line and WITHOUT in line
    for allowed in ((), ("--unsafe-run-code",), ("--run-code", "--unsafe-run-code")):
        assert main(evaluate(*allowed)) == 2
        assert "bubblewrap" not in capsys.readouterr().err  # the store is looked for


@pytest.mark.parametrize("user", [("0", "--cap-add", "ALL"), ("65534",)], ids=["root", "nobody"])
def test_without_user_namespaces_nothing_is_run(user: tuple[str, ...], isolation: Isolation) -> None:
    identity = ["--uid", user[0], "--gid", user[0], *user[1:]]
    command = [*NO_NAMESPACES, *identity, sys.executable, "-c", FIND]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    [line] = result.stdout.splitlines()
    assert line.startswith("--run-code: bubblewrap cannot isolate programs here (") and WITHOUT in line
    assert "allow user namespaces" in line and result.stderr == ""


@pytest.mark.slow
def test_an_unprivileged_user_without_user_namespaces_is_refused(unprivileged: Unprivileged) -> None:
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*user, *NO_NAMESPACES, unprivileged.python, "-B", "-c", FIND]
    result = subprocess.run(command, cwd=unprivileged.folder, capture_output=True, text=True, check=False)
    assert result.stdout.startswith("--run-code: bubblewrap cannot isolate programs here") and WITHOUT in result.stdout
    allowed = [*user, unprivileged.python, "-B", "-c", FIND]
    result = subprocess.run(allowed, cwd=unprivileged.folder, capture_output=True, text=True, check=False)
    assert result.stdout == "bubblewrap\n"


def test_a_setting_of_the_kernel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "max_user_namespaces"
    setting.write_text("0\n")
    monkeypatch.setattr(isolation_module, "SETTINGS", ((str(setting), "0", "user.max_user_namespaces=10000"),))
    assert "sysctl user.max_user_namespaces=10000" in isolation_module.remedy()
    setting.write_text("1000\n")
    assert "sysctl" not in isolation_module.remedy()


def test_other_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match=f"--run-code: .*for riscv64: there is one for x86_64, aarch64; {WITHOUT}"):
        find_isolation()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="on Linux only, this is darwin"):
        find_isolation()


def test_the_filter_of_each_machine_is_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every jump of it ends within it, and it fits the buffer of a pipe."""
    import struct

    from scaling.evaluation.harness.sandbox import system_calls

    for machine in system_calls.MACHINES:
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        program = system_calls.seccomp_filter()
        instructions = list(struct.iter_unpack("=HBBI", program))
        assert instructions[-1][0] == system_calls.RETURN and len(program) < os.fpathconf(0, "PC_PIPE_BUF") * 16
        for place, (code, if_true, if_false, _) in enumerate(instructions):
            assert code == system_calls.RETURN or place + 1 + max(if_true, if_false) < len(instructions)
