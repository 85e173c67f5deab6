"""One HTML file that says what a source says: the law, the optimum, the doubts, the figures, the runs, how it was made.

Every number in it comes from a fit or a record; none is typed in. Nothing is loaded from elsewhere: figures and
style are inside. Figures are there twice, wide and, for a phone, with their panels stacked.
"""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import DataError
from analysis.figures import registry, save
from analysis.report import evals, sentences
from analysis.report.findings import _tracked, findings
from scaling.store.files import write_atomic

if TYPE_CHECKING:
    from analysis.figures.source import Source

TITLES = {  # in the order of the page
    "isoflop": "IsoFLOP profiles",
    "curves": "Learning curves",
    "contours": "The fitted surface",
    "kaplan": "Loss against compute, data and size",
    "parity": "Predicted against measured",
    "conventions": "The same runs, counted otherwise",
    **evals.TITLES,
}


def write(source: Source | str | Path, out: str | Path, **choices: Any) -> Path:
    """Writes OUT/report.html and OUT/figures/*; returns the path of the page.

    `choices` are those of analysis/figures/source.py `load`, for a source that is a path. What cannot be fitted or
    drawn is said on the page, with the reason. Raises DataError where there is nothing to read.
    """
    from analysis.figures.source import Source, load

    out = Path(out)
    loaded = source if isinstance(source, Source) else load(source, **choices)
    found = findings(loaded)
    from analysis.report import page

    several = len(loaded.points) > 0 and _several(loaded)
    shown = [name for name in TITLES if name not in evals.TITLES and (name != "conventions" or several)]
    shown += evals.shown(loaded)
    drawn = {name: picture(name, loaded, out / "figures") for name in _tracked(shown, "figures")}
    body = "\n".join(page.sections(found, drawn))
    style = Path(__file__).with_name("report.css").read_text("utf-8")
    title = html.escape(page.title(loaded))
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )
    write_atomic(out / "report.html", text.encode())
    return out / "report.html"


def _several(source: Source) -> bool:
    """Whether there is more than one way to count the runs."""
    from analysis.errors import FitError

    try:
        return len(source.countings()) > 1
    except (DataError, FitError):
        return False


def picture(name: str, source: Source, folder: Path) -> str:
    """A figure as HTML, its PDF, PNG, data and origin in `folder`; a sentence where it cannot be drawn."""
    from analysis.errors import FitError

    heading = f'<h3 id="{name}">{TITLES[name]}</h3>'
    try:
        wide, narrow = save.draw(name, source), save.draw(name, source, "column")
    except (DataError, FitError) as error:
        for left in folder.glob(f"{name}.*"):  # of an earlier report: it would show what is no longer so
            left.unlink()
        return f'{heading}\n<p class="warn">Not drawn: {html.escape(sentences.sentence(str(error)))}</p>'
    for kind in ("pdf", "png"):
        write_atomic(folder / f"{name}.{kind}", save.render(wide, kind))
    save.write_beside(wide, name, source, folder / f"{name}.pdf")
    caption = registry.figure_module(name).CAPTION.format(level=source.level)
    links = ", ".join(
        f'<a href="figures/{name}.{kind}">{said}</a>'
        for kind, said in (("pdf", "PDF"), ("png", "PNG"), ("data.csv", "its data"), ("about.json", "its origin"))
    )
    return (
        f'{heading}\n<figure>\n<picture><source media="(max-width: 34rem)" srcset="{_inline(narrow)}">'
        f'<img alt="{html.escape(TITLES[name])}" src="{_inline(wide)}"></picture>\n'
        f"<figcaption>{html.escape(caption)} Beside this page: {links}.</figcaption>\n</figure>"
    )


def _inline(figure: Any) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(save.render(figure, "svg")).decode()
