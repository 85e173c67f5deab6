"""Pages of the Python interface: the public names of each package, from their docstrings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from types import ModuleType
from typing import Any

from docs.generate.reference.fields import option_table
from docs.generate.reference.markdown import code, escape, table
from docs.generate.reference.parts import CONFIGS
from scaling.config.placement import Placement

PACKAGES = {  # module: title of its page, and what it is for
    "scaling": ("Python interface of `scaling`", "Train one run from Python."),
    "sweeps": ("Python interface of `sweeps`", "Plan, launch and follow sweeps from Python."),
    "analysis": ("Python interface of `analysis`", "Read runs, fit laws, and use the results in Python."),
}
OPTIONS = {  # module: its dataclasses of options
    "analysis.fitting.options": ("FitOptions",),
    "analysis.data.options": ("ReadOptions",),
    "analysis.figures.options": ("FigureOptions",),
    "analysis.paper.options": ("PaperOptions",),
    "analysis.planning.options": ("DesignOptions",),
    "analysis.evals.options": ("EmergenceOptions", "CalibrationOptions"),
    "analysis.studies.options": (
        "BacktestOptions", "BenchOptions", "ConventionsOptions", "CoverageOptions", "DesignSavingsOptions",
        "MultiplierOptions", "ObservationalOptions", "SimulatedTaskOptions",
    ),
    "sweeps.launching.options": ("LaunchOptions",),
    "scaling.evaluation.config": ("EvaluationOptions",),
    "scaling.evaluation.harness.config": ("HarnessOptions",),
    "scaling.inference.options": ("Sampling", "Generation"),
}  # fmt: skip

FIELDS: dict[Any, str] = {  # configs, and where their fields are described
    **{cls: f"../run-config.md#{cls.__name__.lower()}" for cls in CONFIGS},
    Placement: "../placement.md",
}


def pages() -> dict[str, str | bytes]:
    """Returns the page of each package and that of the options, by path in the site."""
    found: dict[str, str | bytes] = {f"reference/api/{package}.md": page(package) for package in PACKAGES}
    return {**found, "reference/api/options.md": options_page()}


def public_names(package: str) -> dict[str, Any]:
    """Returns the public objects of a package by name, in the order of their page."""
    module = importlib.import_module(package)
    names = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return dict(sorted(names.items(), key=lambda item: (kind(item[1]), item[0])))


def kind(thing: Any) -> int:
    """Returns the place of a public object on its page: functions, classes, modules, exceptions."""
    if isinstance(thing, type):
        return 3 if issubclass(thing, Exception) else 1
    return 0 if callable(thing) else 2


def page(package: str) -> str:
    """Returns the page with the public names of a package."""
    title, text = PACKAGES[package]
    names = public_names(package)
    rows = [(f"[{code(name)}](#{anchor(package, name)})", escape(summary(thing))) for name, thing in names.items()]
    sections = [section(package, name, thing) for name, thing in names.items()]
    return "\n\n".join([
        f"# {title}",
        f"{text} These names are stable: a change is listed in the changelog.",
        table(("name", "is"), rows),
        *sections,
    ]) + "\n"  # fmt: skip


def anchor(package: str, name: str) -> str:
    """Returns the anchor of a public name."""
    return f"{package}.{name}"


def summary(thing: Any) -> str:
    """Returns the first sentence of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n\n")[0]


def section(package: str, name: str, thing: Any) -> str:
    """Returns the section of a public name.

    Args:
        package: The package.
        name: The name.
        thing: The object.
    """
    heading = f'## {package}.{name} {{ #{anchor(package, name)} data-toc-label="{name}" }}'
    if isinstance(thing, ModuleType):
        return f"{heading}\n\n{escape((inspect.getdoc(thing) or '').split(chr(10) * 2)[0])}"
    if is_options(thing):
        text = escape(summary(thing))
        return f"{heading}\n\n`{name}({', '.join(required(thing))}...)`: {text}\n\n{option_table(thing)}"
    if thing in FIELDS:
        return f"{heading}\n\n{escape(summary(thing))} [Its fields]({FIELDS[thing]})."
    if not callable(thing):
        return f"{heading}\n\n{code(repr(thing))}"
    target = f"{thing.__module__}.{thing.__qualname__}"
    options = [f"heading: {package}.{name}", f"toc_label: {name}", "heading_level: 2"]
    block = "\n".join(f"      {option}" for option in options)
    return f'<a id="{anchor(package, name)}"></a>\n\n::: {target}\n    options:\n{block}'


def is_options(thing: Any) -> bool:
    """Whether an object is a dataclass whose fields are options of a command."""
    return dataclasses.is_dataclass(thing) and any("help" in field.metadata for field in dataclasses.fields(thing))


def required(cls: type) -> list[str]:
    """Returns the names of the fields of a dataclass that have no default."""
    return [
        field.name + ", "
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def options_page() -> str:
    """Returns the page with all dataclasses of options."""
    parts = [
        "# Options",
        "Options are frozen dataclasses. Each field is described once: it is also a flag of the commands that use it. "
        "In Python, give only the fields that differ from their defaults, such as `FitOptions(bootstrap=4000)`.",
    ]
    for module, names in OPTIONS.items():
        for name in names:
            cls = getattr(importlib.import_module(module), name)
            parts += [
                f"## {name} {{ #{module}.{name} }}",
                f"`{module}.{name}`: {escape(summary(cls))}",
                option_table(cls),
            ]
    return "\n\n".join(parts) + "\n"
