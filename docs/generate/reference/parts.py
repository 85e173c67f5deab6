"""Generated parts of pages that are otherwise written by hand: `<!-- generated: NAME -->` in a page."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

from mkdocs.exceptions import PluginError

from analysis.errors import DataError, FitError
from analysis.evals import verdict as emergence
from analysis.uncertainty.verdicts import VERDICTS, Explanation
from docs.generate.reference import examples, limits, registries
from docs.generate.reference.fields import comment_table, docstring_table
from docs.generate.reference.markdown import anchor, code, escape, table
from scaling.config.exit_status import BAD_INPUT, FAILED, MEANINGS
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import EvalConfig, RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.config.user_code.sources import UserCodeError
from scaling.config.validation import ConfigError
from scaling.counting.peak_flops import ACCELERATORS
from scaling.data.tokens import CorpusError, TokenFile
from scaling.store.cost import MACHINE_FACTS, WALL_TIME_PARTS
from scaling.store.files import StoreError
from scaling.store.items import COLUMNS
from scaling.store.record import Record
from sweeps.cost.quote import load_prices
from sweeps.errors import SweepError

CONFIGS = (RunConfig, ModelConfig, DataConfig, OptimizerConfig, ScheduleConfig, EvalConfig)
ERRORS = (
    (ConfigError, BAD_INPUT), (UserCodeError, BAD_INPUT), (CorpusError, BAD_INPUT), (StoreError, BAD_INPUT),
    (SweepError, BAD_INPUT), (DataError, BAD_INPUT), (FitError, FAILED),
)  # fmt: skip


def exit_statuses() -> str:
    """Returns the table of exit statuses."""
    rows = [
        (str(status), escape(name), escape(meaning), escape(do)) for status, (name, meaning, do) in MEANINGS.items()
    ]
    return table(("status", "name", "meaning", "what to do"), rows)


def error_classes() -> str:
    """Returns the table of exceptions."""
    rows = [(code(public_name(error)), str(status), escape(inspect.getdoc(error) or "")) for error, status in ERRORS]
    return table(("exception", "exit status", "meaning"), rows)


def public_name(cls: type) -> str:
    """Returns the name that a class is imported by: that of its package if it is public."""
    package = cls.__module__.partition(".")[0]
    public = cls.__name__ in getattr(importlib.import_module(package), "__all__", ())
    return f"{package}.{cls.__name__}" if public else f"{cls.__module__}.{cls.__name__}"


def explanations(verdicts: dict[str, Explanation], level: int) -> str:
    """Returns a section for each verdict, with its meaning, cause and remedy.

    Args:
        verdicts: The verdicts by code.
        level: Level of the headings.
    """
    sections = []
    for name, text in verdicts.items():
        heading = f"{'#' * level} {name} {{ #{anchor(name)} }}"
        cause, remedy = f"**Cause.** {escape(text.cause)}", f"**Remedy.** {escape(text.remedy)}"
        sections += [heading, escape(text.meaning), cause + "\n\n" + remedy]
    return "\n\n".join(sections)


def run_config() -> str:
    """Returns a section with the fields of each part of the run config."""
    links = {cls.__name__: f"#{cls.__name__.lower()}" for cls in CONFIGS}
    sections = []
    for cls in CONFIGS:
        sections += [f"## {cls.__name__}", escape(inspect.getdoc(cls) or ""), comment_table(cls, links)]
    return "\n\n".join(sections)


def item_columns() -> str:
    """Returns the table of the columns of item files."""
    rows = [(code(name), code(kind), escape(text)) for name, (kind, text) in COLUMNS.items()]
    return table(("column", "type", "meaning"), rows)


def machine_facts() -> str:
    """Returns the table of what a record tells about its machine."""
    return table(("key", "meaning"), [(code(name), escape(text)) for name, text in MACHINE_FACTS.items()])


def wall_time_parts() -> str:
    """Returns the table of the parts of the wall time."""
    return table(("part", "seconds"), [(code(name), escape(text)) for name, text in WALL_TIME_PARTS.items()])


def peak_rates() -> str:
    """Returns the table of the peak rates of accelerators."""
    types = ("bfloat16", "float32", "float8")
    rows = []
    for name, chip in ACCELERATORS.items():
        rates = (f"{chip.rates[dtype] / 1e12:g}" if dtype in chip.rates else "" for dtype in types)
        rows.append((code(name), ", ".join(map(code, chip.kinds)), *rates, f"{chip.devices}", escape(chip.source)))
    head = ("chip", "device kind in JAX", *(f"{dtype}, TFLOP/s" for dtype in types), "devices per chip", "source")
    return table(head, rows)


def prices() -> str:
    """Returns the prices of the built-in price file."""
    prices = load_prices()
    rows = []
    for kind, chip in prices["chips"].items():
        values = (f"{chip['peak_flops']:.3g}", f"{chip['usd']:.2f}", f"{chip['usd_spot']:.2f}", f"{chip['watts']:g}")
        rows.append((code(kind), *values))
    sources = []
    for kind, chip in prices["chips"].items():
        names = (
            ("peak_flops", "peak_source"),
            ("usd", "usd_source"),
            ("usd_spot", "usd_spot_source"),
            ("watts", "watts_source"),
        )
        sources += [(code(f"{kind}.{name}"), escape(chip[source])) for name, source in names]
    common = (("host_watts", "host_watts_source"), ("pue", "pue_source"), ("kg_co2_per_kwh", "kg_co2_source"))
    sources += [(f"{code(name)} = {prices[name]:g}", escape(prices[source])) for name, source in common]
    head = ("chip", "peak, bfloat16 FLOP/s", "$ per chip-hour", "$ per chip-hour, spot", "watts")
    return "\n\n".join([
        f"Date: {prices['date']}. {escape(prices['region'])}.",
        table(head, rows),
        "Sources:",
        table(("value", "source"), sources),
    ])  # fmt: skip


PARTS: dict[str, Callable[[], str]] = {
    "exit-statuses": exit_statuses,
    "error-classes": error_classes,
    "verdicts": lambda: explanations(VERDICTS, 3),
    "emergence-verdicts": lambda: explanations(emergence.VERDICTS, 3),
    "inconclusive-reasons": lambda: explanations(emergence.INCONCLUSIVE_REASONS, 4),
    "run-config": run_config,
    "placement": lambda: comment_table(Placement),
    "record": lambda: docstring_table(Record),
    "machine-facts": machine_facts,
    "wall-time": wall_time_parts,
    "peak-rates": peak_rates,
    "item-columns": item_columns,
    "token-file": lambda: docstring_table(TokenFile),
    "prices": prices,
    "limits": limits.limits,
    "sweeps": registries.sweeps,
    "corpora": registries.corpora,
    "tasks": registries.tasks,
    "engines": registries.engines,
    "figures": registries.figures,
    "examples": examples.examples,
}


def fill(text: str, page: str) -> str:
    """Replaces the markers of a page by the generated parts.

    Args:
        text: The page in Markdown.
        page: Its path, for messages.

    Raises:
        PluginError: A marker has an unknown name.
    """
    lines = []
    for line in text.split("\n"):
        if line.startswith("<!-- generated: ") and line.endswith(" -->"):
            name = line.removeprefix("<!-- generated: ").removesuffix(" -->")
            if name not in PARTS:
                raise PluginError(f"{page}: generated part {name!r}: must be one of {', '.join(PARTS)}")
            line = PARTS[name]()
        lines.append(line)
    return "\n".join(lines)
