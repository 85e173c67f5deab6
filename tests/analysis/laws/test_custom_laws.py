"""Laws in a user's own file: fitted like the built-in ones, and one line with file and line number when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import FitOptions, fit
from analysis.__main__ import main
from analysis.errors import DataError
from analysis.laws import find

MY_LAWS = """\
import numpy as np


def decay(N, *, E=(1.0, 2.0), A=(1, 10), alpha=0.3):
    return E + A / N**alpha


def by_cases(N, *, E=1.0, A=10.0, alpha=0.3):
    if N > 10:
        return E
    return E + A / N**alpha


def forgotten(N, *, E=1.0, A=10.0, alpha=0.3):
    E + A / N**alpha


def summed(N, *, E=1.0, A=10.0, alpha=0.3):
    return np.sum(E + A / N**alpha)


def words(N, *, E="two", A=10.0, alpha=0.3):
    return E + A / N**alpha


def misspelt(N, *, E=1.0, A=10.0, alpha=0.3):
    return E + A / N**alpha


misspelt.boundz = {"E": (0, 1)}


def unbounded(N, *, E=1.0, A=10.0, alpha=0.3):
    return E + A / N**alpha


unbounded.bounds = {"E": (1, 0)}


def renamed(N, *, E, A, alpha=0.3):
    return E + A / N**alpha


renamed.linear = ("E", "B")


def nested(N, *, E=1.0, A=10.0, alpha=0.3):
    return offset(E) + A / N**alpha


def offset(E):
    return E[unknown]


def constant(N):
    return N


def ends(N, *, E=1.0):
    raise SystemExit(0)


number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    N = np.geomspace(1e6, 1e9, 12)
    rows = "".join(f"{n},{1.7 + 40 / n**0.3 * (1 + 0.001 * (-1) ** i)}\n" for i, n in enumerate(N))
    (tmp_path / "runs.csv").write_text("N,loss\n" + rows)
    (tmp_path / "my_laws.py").write_text(MY_LAWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_law_of_a_file_of_a_module_and_of_a_notebook_are_the_same_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder)

    def decay(N: Any, *, E: Any = (1.0, 2.0), A: Any = (1, 10), alpha: Any = 0.3) -> Any:
        return E + A / N**alpha

    fits = [fit("runs.csv", law, FitOptions(bootstrap=100)) for law in ("my_laws.py:decay", "my_laws:decay", decay)]
    assert fits[0].params["E"] == pytest.approx(1.7, abs=0.05)
    for other in fits[1:]:
        assert (other.params, other.intervals) == (fits[0].params, fits[0].intervals)
    assert [each.law for each in fits] == ["my_laws.py:decay", "my_laws:decay", "decay"]


@pytest.mark.parametrize(("name", "message"), [
    ("my_laws.py:by_cases", "my_laws.py, line 9: ValueError: The truth value"),
    ("my_laws.py:forgotten", "my_laws.py, line 14: the law returned NoneType: must be an array of numbers"),
    ("my_laws.py:summed", "my_laws.py, line 18: the law returned float64 of float64, shape (): must be an array"),
    ("my_laws.py:words", "my_laws.py, line 22: the start of E is 'two': must be a number"),
    ("my_laws.py:misspelt", "my_laws.py, line 26: the law has an attribute boundz: must be one of source, starts"),
    ("my_laws.py:unbounded", "my_laws.py, line 33: bounds of E are (1, 0): must be a lower and a higher number"),
    ("my_laws.py:renamed", "my_laws.py, line 40: linear names 'B': must be one of A, E, alpha"),
    ("my_laws.py:nested", "my_laws.py, line 52: NameError: name 'unknown' is not defined"),
    ("my_laws.py:constant", "my_laws.py, line 55: a law must be a function of inputs, a star and parameters"),
    ("my_laws.py:ends", "my_laws.py, line 60: SystemExit: 0"),
    ("my_laws.py:number", "my_laws.py:number: is int: must be a function or a Law"),
    ("my_laws.py:gone", "my_laws.py has no gone: it has decay, by_cases"),
    ("gone.py:law", "gone.py: no such file"),
    ("gone:law", "no module named gone"),
])  # fmt: skip
def test_an_error_is_one_line_that_names_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert main(["fit", "runs.csv", "--law", name, "--bootstrap", "100"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_functions_of_a_law_besides_its_value_report_errors_too(folder: Path) -> None:
    (folder / "more.py").write_text(MY_LAWS + "\n\ndef starts(inputs, output):\n    return 1 / 0\n\n\n"
                                    "decay.starts_from_data = starts\n")  # fmt: skip
    with pytest.raises(DataError, match=r"more\.py, line 67: ZeroDivisionError"):
        fit("runs.csv", "more.py:decay", FitOptions(bootstrap=100))


def test_a_file_is_run_only_when_it_is_named(folder: Path) -> None:
    (folder / "effects.py").write_text("open('ran', 'w').close()\n\n\n" + MY_LAWS)
    find("chinchilla")
    with pytest.raises(DataError):
        find("effects.py")
    assert not Path("ran").exists()
    find("effects.py:decay")
    assert Path("ran").exists()
