"""Tables as files, and the one line that refuses a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.laws.law import Law


def write_table(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(source: object, law: Law | None = None, **options: Any) -> str:
    """The one line that a source is refused with."""
    with pytest.raises(DataError) as error:
        load(source, law, ReadOptions(**options))
    assert "\n" not in str(error.value)
    return str(error.value)
