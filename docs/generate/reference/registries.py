"""Tables of the names that commands accept: sweeps, corpora, tasks, engines and figures, from their registries."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from analysis.data.options import ReadOptions
from analysis.evals.options import EmergenceOptions
from analysis.figures.options import FigureOptions
from analysis.figures.registry import FIGURES, figure_module
from analysis.fitting.options import FitOptions
from docs.generate.reference.fields import comment_table, section_texts
from docs.generate.reference.markdown import anchor, code, escape, flag_code, table
from scaling.config.options import option_flags
from scaling.data.corpora import CORPORA
from scaling.data.tasks import FAMILIES
from sweeps.definitions import DEFINITIONS
from sweeps.engines import ENGINES
from sweeps.planning.settings import setting_defaults, takes

FIGURE_OPTIONS = (FigureOptions, ReadOptions, FitOptions, EmergenceOptions)


def sweeps() -> str:
    """Returns a section for each sweep with its settings."""
    sections = []
    for name, definition in DEFINITIONS.items():
        sections += [
            f"### {name} {{ #sweep-{anchor(name)} }}",
            escape(first_paragraph(definition.make)),
            f"Corpus: {code(definition.corpus or '')}."
            + (" Rules can be changed." if takes(definition.make, "rule_set") else ""),
            settings(definition.make),
        ]
    return "\n\n".join(part for part in sections if part)


def settings(make: Callable[..., Any]) -> str:
    """Returns the table of the settings of a sweep, "" if it has none."""
    texts = section_texts(make, "Args")
    rows = [
        (code(name), code(setting_text(default)), escape(texts.get(name, "")))
        for name, default in setting_defaults(make).items()
    ]
    return table(("setting", "default", "meaning"), rows) if rows else ""


def setting_text(value: Any) -> str:
    """Returns the default of a setting as `--set` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(map(setting_text, value))
    return f"{value:g}".replace("e+0", "e").replace("e+", "e") if isinstance(value, float) else str(value)


def corpora() -> str:
    """Returns the table of the kinds of corpora."""
    return table(("kind", "is"), [(code(name), module_text(module, name)) for name, module in CORPORA.items()])


def tasks() -> str:
    """Returns the table of the families of tasks."""
    rows = []
    for name, module in FAMILIES.items():
        family = importlib.import_module(module)
        low, high = family.DIFFICULTIES
        rows.append((code(name), module_text(module, name), f"{low} to {high}"))
    return table(("family", "question", "difficulties"), rows)


def module_text(module: str, name: str) -> str:
    """Returns the first sentence of the docstring of a module, without its name."""
    text = first_paragraph(importlib.import_module(module))
    head, separator, rest = text.partition(": ")
    return f"{code(head)}: {escape(rest)}" if separator and head != name else escape(rest or text)


def engines() -> str:
    """Returns a section for each engine with its options."""
    sections = []
    for name, engine in ENGINES.items():
        module = importlib.import_module(engine.submit.__module__)
        sections += [f"### {name} {{ #engine-{name} }}", escape(first_paragraph(module))]
        sections.append(comment_table(engine.options))
    return "\n\n".join(sections)


def figures() -> str:
    """Returns a section for each figure: what it shows, and the options that it takes."""
    flags = {name: flag for cls in FIGURE_OPTIONS for name, flag in option_flags(cls).items()}
    sections = []
    for name, entry in FIGURES.items():
        module = figure_module(name)
        caption = module.CAPTION.replace("{level:.0%}", "95%")
        options = ", ".join(flag_code(flag) for field, flag in flags.items() if field in entry.options)
        sections += [
            f"## {name} {{ #{name} }}",
            escape(first_paragraph(module)),
            "**Caption.** " + escape(caption),
            f"**Options.** {flag_code('--width')}" + (f", {options}" if options else "") + ".",
        ]
    return "\n\n".join(sections)


def first_paragraph(thing: Any) -> str:
    """Returns the first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
