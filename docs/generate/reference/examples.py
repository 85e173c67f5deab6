"""The page of the scripts in examples/: purpose, from the docstring, and code of each."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.generate.reference.markdown import anchor, table

FOLDER = Path(__file__).resolve().parents[3] / "examples"


def examples() -> str:
    """Returns a table of the scripts, and a section for each."""
    scripts = sorted(FOLDER.glob("*.py"))
    rows = [(f"[{script.name}](#{anchor(script.stem)})", purpose(script).split("\n")[0]) for script in scripts]
    return "\n\n".join([table(("script", "purpose"), rows), *map(section, scripts)])


def purpose(script: Path) -> str:
    """Returns the docstring of a script, two sentences."""
    return ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""


def section(script: Path) -> str:
    """Returns the section of a script: its name, its docstring, and its code.

    Args:
        script: The file.
    """
    text = script.read_text("utf-8")
    code = "\n".join(text.splitlines()[ast.parse(text).body[0].end_lineno or 0 :]).strip()
    return f"## {script.name} {{ #{anchor(script.stem)} }}\n\n{purpose(script)}\n\n```python\n{code}\n```"
