"""A fit as it shows in a notebook: a table, plain text, figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from analysis import prose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.fitting import Fit

Row = tuple[str, str, str, str]


def rows(fit: Fit) -> list[Row]:
    """Parameters, then exponents of the optimum where the law has one: name, value, interval, unit."""
    units = fit.form.units if fit.form else {}
    found = [(name, value, fit.intervals[name], units.get(name, "")) for name, value in fit.params.items()]
    if fit.optimum is not None and "a" not in fit.params:
        spread = fit.optimum.intervals
        found += [
            ("a", fit.optimum.a, spread["a"], "N* grows as C^a"),
            ("b", fit.optimum.b, spread["b"], "D* as C^b"),
        ]
    return [(name, prose.number(v, spread), prose.between(spread), unit) for name, v, spread, unit in found]


def heading(fit: Fit) -> str:
    """Law, form and source."""
    said = f"{fit.law}, {len(fit.points)} points of {fit.points.source}"
    return said if fit.form is None else f"{said}\n{prose.form(fit.form)}"


def footing(fit: Fit) -> list[str]:
    """Optimum, objective and verdict, a line each."""
    said = []
    if fit.optimum is not None:
        said = [prose.budget(fit.optimum.at(times * fit.optimum.largest), times) for times in fit.extrapolate]
    return [*said, f"objective: {prose.objective(fit)}; {prose.starts(fit)}", f"verdict: {'; '.join(fit.verdict)}"]


def text(fit: Fit) -> str:
    """Plain text, a line a parameter."""
    cells = rows(fit)
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(3)]
    lines = [
        f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {spread:<{widths[2]}}  {unit}".rstrip()
        for name, value, spread, unit in cells
    ]
    return "\n".join([heading(fit), *lines, *footing(fit)])


def html(fit: Fit) -> str:
    """The same as a table."""
    head, *form = heading(fit).split("\n")
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows(fit)
    )
    top = "".join(
        f'<th style="text-align:left">{escape(cell)}</th>'
        for cell in ("parameter", "value", f"{fit.level:.0%} interval", "")
    )
    said = "".join(f"<div>{escape(line)}</div>" for line in (*form, *footing(fit)))
    return f"<div><b>{escape(head)}</b><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{said}</div>"


def figure(fit: Fit, name: str, width: str) -> Figure:
    """A figure of analysis/figures that shows this fit."""
    from analysis import figures
    from analysis.figures.source import Source

    options: dict[str, Any] = {"level": fit.level}
    return figures.draw(
        name, Source(fit.points.source, fit.points, options=options, kept={fit.law: fit}), width, fit.law
    )
