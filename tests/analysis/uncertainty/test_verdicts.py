"""Every warning has a code with a gloss, and every code has a warning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import analysis
from analysis.uncertainty.verdicts import CONVERGED, VERDICTS, verdict, warning


def test_every_code_is_used_and_every_used_code_is_known() -> None:
    sources = [path.read_text("utf-8") for path in Path(analysis.__path__[0]).rglob("*.py")]
    used = {code for source in sources for code in re.findall(r'\bwarning\(\s*"([a-z-]+)"', source)}
    assert used == set(VERDICTS) - {CONVERGED}


def test_a_code_without_a_gloss_is_refused() -> None:
    with pytest.raises(KeyError, match="must be one of"):
        warning("odd", "this code is not in the table")


def test_nothing_doubtful_is_converged() -> None:
    assert verdict([]) == ("converged",)
    assert verdict([warning("outliers", "run 7")]) == ("outliers: run 7",)
