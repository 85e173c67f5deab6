"""Notebooks: executes docs/notebooks/*.py (jupytext, py:percent) and turns them into pages with their outputs.

An executed notebook is kept in .cache/notebooks/ under the hash of its source and of the packages. It is executed again
only when one of them has changed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import jupytext  # type: ignore[import-untyped]
import nbformat
from mkdocs.exceptions import PluginError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "docs" / "notebooks"
CACHE = ROOT / ".cache" / "notebooks"
CELL_SECONDS = 600  # a cell that takes longer is an error
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def pages() -> dict[str, str | bytes]:
    """Returns the pages of all notebooks, their images and the executed notebooks, by path in the site.

    Raises:
        PluginError: A cell has failed.
    """
    found: dict[str, str | bytes] = {}
    for source in sorted(SOURCES.glob("*.py")):
        notebook = executed(source)
        found[f"notebooks/{source.stem}.ipynb"] = nbformat.writes(notebook)
        found |= to_markdown(notebook, source.stem)
    return found


def executed(source: Path) -> NotebookNode:
    """Returns a notebook with its outputs, from the cache if neither it nor the packages have changed.

    Args:
        source: The notebook as a Python file.

    Raises:
        PluginError: A cell has failed.
    """
    key = hashlib.sha256(source.read_bytes() + package_hash().encode()).hexdigest()[:16]
    kept = CACHE / f"{source.stem}-{key}.ipynb"
    if kept.exists():
        return nbformat.read(kept, as_version=4)
    notebook = execute(source)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{source.stem}-*.ipynb"):
        old.unlink()
    nbformat.write(notebook, kept)
    return notebook


def execute(source: Path) -> NotebookNode:
    """Executes a notebook in an empty folder.

    Args:
        source: The notebook as a Python file.

    Raises:
        PluginError: A cell has failed.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],  # no warning about the kernel's ports on this machine
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise PluginError(f"docs/notebooks/{source.name}: {_COLOUR.sub('', str(error))}") from None
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of the cells: they differ at each execution
    return notebook


@cache
def package_hash() -> str:
    """Returns the hash of the source and data files of the three packages."""
    digest = hashlib.sha256()
    for package in ("scaling", "sweeps", "analysis"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def to_markdown(notebook: NotebookNode, name: str) -> dict[str, str | bytes]:
    """Returns the page of an executed notebook and its images, by path in the site.

    Args:
        notebook: The executed notebook.
        name: Name of its file without the ending.
    """
    parts: list[str] = []
    images: dict[str, str | bytes] = {}
    heading = name
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            heading = (re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE) or [heading])[-1]
        elif cell.cell_type == "code" and cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
            for output in cell.outputs:
                parts.append(_output(output, name, heading, images))
    parts.append(f"[Download this notebook]({name}.ipynb){{ .md-button download }}")
    return {f"notebooks/{name}.md": "\n\n".join(part for part in parts if part) + "\n", **images}


def _output(output: NotebookNode, name: str, heading: str, images: dict[str, str | bytes]) -> str:
    """An output of a cell as Markdown; its image is added to `images`."""
    if output.output_type == "stream":
        return _text(output.text)
    data = output.get("data", {})
    if "image/png" in data:
        path = f"{name}-{len(images) + 1}.png"
        images[f"notebooks/{path}"] = base64.b64decode(data["image/png"])
        width = output.metadata.get("image/png", {}).get("width")  # on the screen, in pixels
        return f"![Figure of the section “{heading}”]({path})" + (f'{{ width="{width:.0f}" }}' if width else "")
    if "text/html" in data:
        table = re.sub(r"\n\s*\n", "\n", data["text/html"].strip()).replace(' border="1" class="dataframe"', "")
        return f'<div class="output">\n{table}\n</div>'
    if "text/markdown" in data:
        return str(data["text/markdown"])
    return _text(data.get("text/plain", ""))


def _text(text: str) -> str:
    """Printed text as a block."""
    text = _COLOUR.sub("", text).rstrip()
    return f'```text title="Output"\n{text}\n```' if text else ""
