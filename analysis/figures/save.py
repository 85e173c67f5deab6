"""analysis.figures.save.save."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import DataError
from analysis.figures.registry import figure_module, shows_one_law
from analysis.figures.source import Source
from scaling.store.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg")


def draw(name: str, source: Source, width: str = "text", law: str | None = None) -> Figure:
    """The figure at a width of analysis/figures/style.py: text (5.5 in) or column (3.25 in, panels stacked).

    law: that it shows, for figures of one law (chinchilla unless given).
    """
    from analysis.figures import style

    if width not in style.WIDTHS:
        raise DataError(f"width {width!r}: known are {', '.join(style.WIDTHS)}")
    of = figure_module(name)
    with style.context():
        figure: Figure = of.figure(source, style.WIDTHS[width], **({"law": law} if law and shows_one_law(name) else {}))
        style.settle(figure)
    return figure


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file of one of FORMATS: the same bytes each time."""
    from analysis.figures import style

    out = io.BytesIO()
    with style.context():
        figure.savefig(out, format=kind, metadata=style.METADATA[kind])
    return out.getvalue()


def save(
    name: str,
    source: Source | str | Path,
    out: str | Path,
    *,
    width: str = "text",
    law: str | None = None,
    **choices: Any,
) -> Path:
    """Draws a figure into `out` (.pdf, .png or .svg), its data and origin beside it; returns `out`.

    law: that it shows, for figures of one law. `choices` are those of analysis/figures/source.py `load`, for a source
    that is a path. Raises DataError, FitError.
    """
    from analysis.figures.source import Source, load

    out = Path(out)
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise DataError(f"{out}: a figure is saved as {', '.join('.' + f for f in FORMATS)}")
    read = getattr(figure_module(name), "read", None)  # of a figure whose source holds no points
    if law and not shows_one_law(name):
        raise DataError(f"figure {name} shows no law to choose: leave out law {law!r}")
    if not isinstance(source, Source):
        source = read(Path(source)) if read else load(source, law=law, **choices)
    figure = draw(name, source, width, law)
    write_atomic(out, render(figure, kind))
    write_beside(figure, name, source, out, width, law)
    return out


def write_beside(
    figure: Figure, name: str, source: Source, out: Path, width: str = "text", law: str | None = None
) -> None:
    """The data a figure shows and where they come from, next to `out`."""
    from analysis.figures.marks import COLUMNS, drawn

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(drawn(figure))
    target = out.with_suffix(".data.csv")
    if Path(source.name).resolve() == target.resolve():
        raise DataError(f"{target}: is the source, and would be overwritten by the figure's data: choose another --out")
    write_atomic(target, text.getvalue().encode())
    command = ["python", "-m", "analysis", "figure", name, source.name, "--out", str(out), *source.arguments()]
    command += ["--law", law] if law else []
    about = {
        "figure": name,
        "source": source.name,
        "points": len(source.points),
        "convention": source.points.convention,
        "notes": list(source.points.notes),
        "command": shlex.join(command if width == "text" else [*command, "--width", width]),
        "commit": commit(),
    }
    known = {key: value for key, value in about.items() if value is not None}
    write_atomic(out.with_suffix(".about.json"), (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())


def commit() -> str | None:
    """The commit this code is at, with `+` where files differ from it; None outside of its repository."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", here.name) is None:
        return None
    return git("describe", "--match=", "--always", "--abbrev=40", "--dirty=+") or None
