"""Fits in words: numbers with their doubt, said so that a person who opens a report cold can follow. Plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
MISSING = "—"


def scientific(value: float, digits: int = 2) -> str:
    """3.2×10¹⁸."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(RAISED)}"


def count(value: float | None) -> str:
    """Parameters or tokens as people say them: 1.3M, 410B."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if 0.9995 * size <= value < 999.5 * size:
            digits = max(0, 2 - math.floor(math.log10(value / size) + 1e-3))
            return f"{value / size:.{digits}f}{letter}"
    return scientific(value, 3) if value >= 1e15 else f"{value:.3g}"


def flops(value: float | None) -> str:
    """Compute in FLOPs."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    return scientific(value)


def number(value: float, interval: Any = None) -> str:
    """A value with the digits that its interval leaves it."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return scientific(value, 3)
    if interval is None or not all(math.isfinite(v) for v in interval) or interval[0] == interval[1]:
        return f"{value:.4g}"
    decimals = 1 - math.floor(math.log10(abs(interval[1] - interval[0])))
    return f"{value:.{min(max(decimals, 0), 6)}f}"


def between(interval: Any, show: Any = None) -> str:
    """[low, high], or that there is none."""
    if interval is None or any(v is None or math.isnan(v) for v in interval):
        return "no interval"
    low, high = (show(v) if show else number(v, interval) for v in interval)
    return f"[{low}, {high}]"


def estimate(value: float, interval: Any, show: Any = None) -> str:
    """value [low, high]."""
    return f"{show(value) if show else number(value, interval)} {between(interval, show)}"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def three(value: float) -> str:
    """A plain number with three digits."""
    return "∞" if value == math.inf else f"{value:,.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def estimate_of(entry: dict[str, Any], name: str, show: Any = None) -> str:
    """value [low, high] of one name of an entry of `analysis/planning/compute_optimal.py`; MISSING where it has
    none."""
    if entry.get(name) is None:
        return MISSING
    return estimate(entry[name], entry["intervals"][name], show)


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.3g}%" if math.isfinite(value) else MISSING if math.isnan(value) else "∞"


def plain(value: Any) -> Any:
    """JSON's own types; a number that is not finite is null."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
