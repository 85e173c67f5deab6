"""Formats numbers, intervals, lists and tables as plain text for the terminal, reports and captions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scaling.config.text import printable

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
COUNT_PREFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
MISSING = "—"

Interval = Sequence[float | None] | None
Formatter = Callable[[float], str]


def scientific(value: float, digits: int = 2) -> str:
    """Formats a number in scientific notation, such as 3.2×10¹⁸.

    Args:
        value: Finite number.
        digits: Significant digits.
    """
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def count(value: float | None) -> str:
    """Formats parameters or tokens with a unit prefix, such as 1.3M or 410B."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    for size, letter in COUNT_PREFIXES:
        if 0.9995 * size <= value < 999.5 * size:  # rounds to three digits below the next prefix
            digits = max(0, 2 - math.floor(math.log10(value / size) + 1e-3))
            return f"{value / size:.{digits}f}{letter}"
    return scientific(value, 3) if value >= 1e15 else f"{value:.3g}"


def flops(value: float | None) -> str:
    """Formats an amount of compute in FLOPs."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    return scientific(value)


def number(value: float, interval: Interval = None) -> str:
    """Formats a value with as many digits as its interval determines.

    Args:
        value: Any number.
        interval: Interval of the value; None formats four significant digits.
    """
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return scientific(value, 3)
    low, high = (None, None) if interval is None else interval
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return without_zero_sign(f"{value:.4g}")
    decimals = 1 - math.floor(math.log10(abs(high - low)))
    return without_zero_sign(f"{value:.{min(max(decimals, 0), 6)}f}")


def interval_text(interval: Interval, formatter: Formatter | None = None) -> str:
    """Formats an interval as [low, high].

    Args:
        interval: Low and high end; None, or an end that is None or NaN, means that there is no interval.
        formatter: Formats an end; `number` by default.
    """
    if interval is None:
        return "no interval"
    ends = [end for end in interval if end is not None and not math.isnan(end)]
    if len(ends) < len(interval):
        return "no interval"
    low, high = (without_zero_sign(formatter(end)) if formatter else number(end, interval) for end in ends)
    return f"[{low}, {high}]"


def estimate(value: float, interval: Interval, formatter: Formatter | None = None) -> str:
    """Formats a value with its interval, as value [low, high].

    Args:
        value: Estimate.
        interval: Its interval.
        formatter: Formats each number; `number` by default.
    """
    text = without_zero_sign(formatter(value)) if formatter else number(value, interval)
    return f"{text} {interval_text(interval, formatter)}"


def entry_estimate(entry: Mapping[str, Any], name: str, formatter: Formatter | None = None) -> str:
    """Formats one value of a JSON entry with its interval, which is under "intervals".

    Args:
        entry: Values by name, such as an entry of `OptimalTraining.to_json`.
        name: Name of the value; the result is `MISSING` if the entry does not contain it.
        formatter: Formats each number; `number` by default.
    """
    if entry.get(name) is None:
        return MISSING
    return estimate(entry[name], entry["intervals"][name], formatter)


def three_digits(value: float) -> str:
    """Formats a number with three significant digits, or as an integer with separators from 1,000 to 1,000,000."""
    return "∞" if value == math.inf else f"{value:,.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def short_loss_unit(unit: str) -> str:
    """Returns the unit of a loss for an axis or the head of a table, such as nats/token for nats per token."""
    return unit.replace(" per ", "/")


def percent(value: float) -> str:
    """Formats a share as a percentage."""
    return without_zero_sign(f"{100 * value:.3g}%") if math.isfinite(value) else MISSING if math.isnan(value) else "∞"


def without_zero_sign(text: str) -> str:
    """Removes the sign of a formatted number that is 0 as printed, so that -0.0004 is 0.000 instead of -0.000.

    Args:
        text: Formatted number, with or without a sign, an exponent or a unit.
    """
    is_zero = "0" in text and not any(digit in text for digit in "123456789")
    return text.lstrip("+-") if is_zero else text


def signed(value: float, spec: str) -> str:
    """Formats a difference with its sign, which 0 as printed does not have.

    Args:
        value: The difference.
        spec: Format without the sign, such as ".2g" or ".0%".
    """
    return without_zero_sign(f"{value:+{spec}}") if math.isfinite(value) else MISSING if math.isnan(value) else "∞"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Formats rows as lines with aligned columns; control characters in cells are escaped."""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def join_names(names: Iterable[object], limit: int = 20) -> str:
    """Joins names with commas.

    Args:
        names: Names to list.
        limit: Largest number of names to list; the number of the others follows.
    """
    texts = [printable(" ".join(str(name).split())) for name in names]
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")


def plural(number: int, noun: str) -> str:
    """Formats a number with its noun, such as "1 run" or "2 runs".

    Args:
        number: The number.
        noun: The noun in the singular.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def json_ready(value: Any) -> Any:
    """Converts a value to the types of JSON; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {name: json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
