"""A fit as it shows in a notebook: a table, plain text, figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from analysis import format
from analysis.fitting import result

if TYPE_CHECKING:
    from analysis.fitting.result import Fit

Row = tuple[str, str, str, str]


def rows(fit: Fit) -> list[Row]:
    """Parameters, then exponents of the optimum where the law has one: name, value, interval, unit."""
    units = fit.form.units if fit.form else {}
    found = [_row(name, value, fit.intervals[name], units.get(name, ""), fit) for name, value in fit.params.items()]
    if fit.optimum is not None and "a" not in fit.params:
        spread = fit.optimum.intervals
        found.append(_row("a", fit.optimum.a, spread["a"], "N* grows as C^a", fit))
        found.append(_row("b", fit.optimum.b, spread["b"], "D* grows as C^b", fit))
    return found


def _row(name: str, value: float, spread: tuple[float, float], unit: str, fit: Fit) -> Row:
    held = fit.held.get(name)
    if held is None:
        return name, f"{value:.5g}", format.between(spread, lambda end: f"{end:.4g}"), unit
    return name, f"{value:.5g}", f"as {held}" if isinstance(held, str) else "held", unit


def heading(fit: Fit) -> str:
    """Law and source of the points; then its form and where it comes from."""
    said = f"{fit.law}, {len(fit.points)} points of {fit.points.source}"
    return said if fit.form is None else f"{said}\n{format.form(fit.form)}"


def footing(fit: Fit) -> list[str]:
    """Optimum, objective and verdict, a line each."""
    said = []
    if fit.optimum is not None:
        said = [result.budget(fit.optimum.at(times * fit.optimum.largest), times) for times in fit.extrapolate]
    first, *rest = fit.verdict
    return [
        *said,
        f"objective: {_objective(fit.objective)}; {result.starts(fit)}",
        f"verdict: {first}",
        *(f"         {one}" for one in rest),
    ]


def _objective(of: dict[str, Any]) -> str:
    """Name, what it was set to, value; of two steps, both."""
    more = {name: value for name, value in of.items() if name not in ("name", "value", "second")}
    said = ", ".join([of["name"], *(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in more.items())])
    second = f"; second step: {_objective(of['second'])}" if "second" in of else ""
    return f"{said}, value {of['value']:.7g}{second}"


def text(fit: Fit) -> str:
    """Plain text, a line a parameter."""
    lines = [f"  {line}" for line in format.aligned(rows(fit)).split("\n")]
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
