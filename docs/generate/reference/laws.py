"""Pages of the laws: equations, inputs, parameters with units and bounds, source and published values."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

from analysis.laws import APPROACHES, LAWS
from analysis.laws.law import Law
from analysis.laws.symbols import symbol
from docs.generate.reference.fields import section_texts
from docs.generate.reference.markdown import code, escape, table

GROUPS = {  # folder of analysis/laws: title of the page and what its laws predict
    "loss": (
        "Laws of the loss",
        "Laws of the final loss as a function of parameters, tokens, compute, batch size or experts.",
    ),
    "curve": ("Laws of curves", "Laws of learning curves, and of loss curves under a learning-rate schedule."),
    "downstream": ("Laws of tasks", "Laws of the error or accuracy on tasks as a function of the loss."),
    "recipe": ("Laws of recipes", "Laws of the best size, learning rate and batch size."),
    "post_training": (
        "Laws of post-training",
        "Laws of transfer to other data, and of optimisation against a reward model.",
    ),
    "interpretability": ("Laws of sparse autoencoders", "Laws of the reconstruction error of sparse autoencoders."),
}


def folder(law: Law) -> str:
    """Returns the folder of analysis/laws that the function of a law is in."""
    return law.function.__module__.split(".")[2]


def names_by_law() -> dict[str, list[str]]:
    """Returns the names of each law, by its first name."""
    names: dict[str, list[str]] = {}
    for name, law in LAWS.items():
        first = next((other for other in names if LAWS[other] is law), name)
        names.setdefault(first, []).append(name)
    return names


def pages() -> dict[str, str | bytes]:
    """Returns the overview and the page of each group of laws, by path in the site."""
    found: dict[str, str | bytes] = {"reference/laws/index.md": overview()}
    for group, (title, text) in GROUPS.items():
        sections = [section(names) for first, names in names_by_law().items() if folder(LAWS[first]) == group]
        body = "\n\n".join([f"# {title}", f"{text} {GENERATED}", *sections])
        found[f"reference/laws/{group.replace('_', '-')}.md"] = body + "\n"
    return found


GENERATED = (
    "This page is generated from the laws in `analysis/laws/`. A test evaluates each equation and compares it with the "
    "function that is fitted."
)


def overview() -> str:
    """Returns the page that lists all laws."""
    rows = []
    for first, names in names_by_law().items():
        law = LAWS[first]
        page = f"{folder(law).replace('_', '-')}.md"
        links = ", ".join(f"[`{name}`]({page}#{first})" for name in names)
        rows.append((links, f"${law.latex[0]}$", escape(law.source)))
    approaches = [(code(name), escape(text)) for name, text in APPROACHES.items()]
    return "\n\n".join([
        "# Laws",
        "The built-in laws by the name that `--law` of [`fit`](../commands/analysis.md#fit) takes. "
        "`python -m analysis laws NAME` prints a law; your own law is `--law FILE.py:FUNCTION`. On the "
        "pages of the laws a unit of — means none, or the one that the equation gives.",
        table(("name", "equation", "source"), rows),
        "## Approaches",
        "These names fit optima instead of a surface of the loss:",
        table(("name", "fits"), approaches),
    ]) + "\n"  # fmt: skip


def section(names: list[str]) -> str:
    """Returns the section of one law.

    Args:
        names: Its names; the first is its anchor.
    """
    law = LAWS[names[0]]
    arguments = section_texts(law.function, "Args")
    others = f" Also named {', '.join(code(name) for name in names[1:])}." if names[1:] else ""
    parts = [
        f"## {names[0]} {{ #{names[0]} }}",
        *(f"$${equation}$$" for equation in law.latex),
        *remarks(law),
        f"Source: {escape(law.source)}.{others} Function: "
        f"`{law.function.__module__}.{law.function.__name__}`. Default objective: `{law.objective}`.",
        table(("input", "symbol", "meaning", "unit"), [input_row(law, name, arguments) for name in law.inputs]),
        table(
            ("parameter", "symbol", "meaning", "unit", "bounds"),
            [parameter_row(law, name, arguments) for name in law.parameters],
        ),
    ]
    if law.published:
        parameters = [n for n in law.parameters if any(n in each.values for each in law.published)]
        rows = [
            (escape(each.source), *(number(each.values[n]) if n in each.values else "" for n in parameters))
            for each in law.published
        ]
        parts += ["Published values:", table(("source", *(f"${symbol(name)}$" for name in parameters)), rows)]
    return "\n\n".join(parts)


def remarks(law: Law) -> list[str]:
    """Returns the paragraphs of the docstring of a law between its first line and its arguments, and its unit."""
    text = inspect.getdoc(law.function) or ""
    body = text.split("\n\nArgs:")[0].split("\n\n")[1:]
    unit = f"${symbol(law.output)}$ is in {escape(law.units[law.output])}." if law.units.get(law.output) else ""
    optimum = "It has a compute-optimal size ([`optimum`](../commands/analysis.md#optimum))." if law.optimum else ""
    frontier = "It is fitted to the compute-efficient frontier of the runs." if law.on_frontier else ""
    facts = " ".join(filter(None, (unit, optimum, frontier)))
    return [*(escape(paragraph) for paragraph in body), *([facts] if facts else [])]


def input_row(law: Law, name: str, arguments: dict[str, str]) -> tuple[str, str, str, str]:
    """Returns the row of an input."""
    return code(name), f"${symbol(name)}$", escape(arguments[name]), escape(law.units.get(name, "—"))


def parameter_row(law: Law, name: str, arguments: dict[str, str]) -> tuple[str, str, str, str, str]:
    """Returns the row of a parameter."""
    low, high = law.bound(name)
    bounds = f"{number(low)} to {number(high)}"
    return code(name), f"${symbol(name)}$", escape(arguments[name]), escape(law.units.get(name, "—")), bounds


def number(value: float) -> str:
    """Returns a number as text, such as 2.68 × 10²⁸."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.10g}"
    if "e" not in text and abs(value) < 1e6:
        return text.replace("-", "−")
    digits, _, exponent = f"{value:.9e}".partition("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "−")
    return f"10{superscript(int(exponent))}" if digits == "1" else f"{digits} × 10{superscript(int(exponent))}"


def superscript(value: int) -> str:
    """Returns a whole number in superior digits."""
    return str(value).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def anchors() -> Iterable[tuple[str, str]]:
    """Returns the page and the anchor of each law, for the test that every law has a section."""
    for first in names_by_law():
        yield f"reference/laws/{folder(LAWS[first]).replace('_', '-')}.html", first
