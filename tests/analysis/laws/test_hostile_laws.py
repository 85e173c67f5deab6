"""Tests that whatever a law of a user's own does, the command ends with one line that names its file and line."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from scaling.config.exit_status import INTERRUPTED
from tests.support.commands import ROOT, call_command

LAW = "import numpy as np, sys, time\ndef law(N, D, *, E=1.0, A=1.0, alpha=0.3):\n    "


@pytest.fixture
def runs(tmp_path):
    N, D = np.exp(np.random.default_rng(0).uniform([[14], [18]], [[20], [24]], (2, 30)))
    L = 1.7 + 400 / N**0.34 + 410 / D**0.28
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([{"N": n, "D": d, "L": loss} for n, d, loss in zip(N, D, L, strict=True)]))
    return path


def fit(runs, law):
    path = runs.with_name("my_law.py")
    path.write_text(law)
    return path, call_command("analysis", "fit", runs, "--law", f"{path}:law", "--bootstrap", 100)


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("raise ValueError('not\\n\\x1b[2Jthis')", 3, r"ValueError: not \x1b[2Jthis"),
        ("return law(N, D, E=E, A=A, alpha=alpha)", 3, "RecursionError: maximum recursion depth exceeded"),
        ("sys.exit(0)", 3, "SystemExit: 0"),
        ("raise type('Own', (Exception,), {'__str__': lambda self: 1 / 0})", 3, "Own"),
        ("__import__('os')._exit(3)", 3, "SystemExit: 3"),
        ("raise KeyboardInterrupt", 3, "KeyboardInterrupt"),
        ("raise GeneratorExit", 3, "GeneratorExit"),
        ("return E + A * (N + 0j)**-alpha", 2, "the law returned ndarray of complex128"),
        ("return np.zeros(3)", 2, "the law returned ndarray of float64, shape (3,)"),
        ("return 'three'", 2, "the law returned str"),
        ("return E + A * N**-alpha * np.nan", 2, "no start gives the law a finite value"),
        ("return E + A * N**-alpha * np.inf", 2, "no start gives the law a finite value"),
        ("N *= 2", 3, "ValueError: output array is read-only"),
        ("\n    while True: pass", 4, "takes longer than 0.2 seconds"),
        ("time.sleep(100)", 3, "takes longer than 0.2 seconds"),
        ("\n    while True: print('', end='')", 4, "takes longer than 0.2 seconds"),
        ("return E\nraise SystemExit(3)", 4, "SystemExit: 3"),
        ("return E\nfrom os import _exit\n_exit(0)", 5, "SystemExit: 0"),
        ("return E\nwhile True: pass", 4, "takes longer than 0.2 seconds"),
    ],
)
def test_a_law_that_fails_is_one_line_with_its_file_and_line(runs, monkeypatch, body, line, reason):
    monkeypatch.setenv("SCALING_USER_CODE_SECONDS", "0.2")
    path, result = fit(runs, LAW + body)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith(f"error: {path}, line {line}: {reason}")


def test_a_real_interrupt_is_not_an_error_of_the_law(runs, monkeypatch):
    monkeypatch.setenv("SCALING_USER_CODE_SECONDS", "60")
    result = fit(runs, LAW + f"import os; os.kill({os.getpid()}, {signal.SIGINT:d})\n    time.sleep(10)")[1]
    assert (result.returncode, result.stderr) == (INTERRUPTED, "error: interrupted\n")


def test_the_time_limit_is_removed_after_a_call_and_can_be_changed(runs, monkeypatch):
    monkeypatch.setenv("SCALING_USER_CODE_SECONDS", "0.2")
    fit(runs, LAW + "time.sleep(100)")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    monkeypatch.setenv("SCALING_USER_CODE_SECONDS", "soon")
    result = fit(runs, LAW + "return E")[1]
    assert (result.returncode, result.stderr.count("\n")) == (2, 1) and "must be a number of seconds" in result.stderr


def test_code_that_catches_the_timeout_ends_the_process():
    code = """
        import time
        from scaling.config.user_code import time_limit
        time_limit.AGAIN_SECONDS = 0.1
        with time_limit.time_limit(0.1, lambda frame: f"my_law.py, line {frame.f_lineno}"):
            while True:
                try:
                    time.sleep(0.01)
                except BaseException: pass
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )
    assert result.returncode == 2 and result.stderr.startswith("error: my_law.py, line ")
    assert result.stderr.count("\n") == 1 and "takes longer than 0.1 seconds" in result.stderr


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("return 3.0 + 0 * (E + A * N**-alpha)", ("returns 3 at all points", "no parameter changes the output")),
        ("return 1 + N**-0.05 + 0 * (E + A * alpha)", ("no parameter changes the output",)),
        ("return E + A * alpha + 0 * N", ("its output does not depend on its inputs",)),
    ],
)
def test_a_law_that_returns_a_constant_is_unidentifiable(runs, body, reasons):
    result = fit(runs, LAW + body)[1]
    assert result.returncode == 0, result.stderr
    for reason in reasons:
        assert any("unidentifiable: " in line and reason in line for line in result.stdout.splitlines())


def test_workers_end_with_a_killed_parent():
    code = """
        import os, time
        from analysis.solver.processes import fork_pool
        pool = fork_pool(2)
        futures = [pool.submit(time.sleep, 600) for _ in range(2)]
        time.sleep(0.2)
        print(*pool._processes, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, workers))


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
