"""The page of the scripts in examples/: purpose, from the docstring, and code of each."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def examples() -> str:
    """Returns a section for each script."""
    return "\n\n".join(map(section, sorted(FOLDER.glob("*.py"))))


def section(script: Path) -> str:
    """Returns the section of a script: its name, the two sentences of its docstring, and its code.

    Args:
        script: The file.
    """
    text = script.read_text("utf-8")
    tree = ast.parse(text)
    purpose = ast.get_docstring(tree) or ""
    code = "\n".join(text.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    return f"## {script.name}\n\n{purpose}\n\n```python\n{code}\n```"
