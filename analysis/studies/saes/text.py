"""The laws of sparse autoencoders as rows and lines, for the command and the report."""

from __future__ import annotations

from analysis.format import count, plural
from analysis.studies.saes.exponents import SaeStudy, exponent_interval

HEAD = ("kind", "site", "model", "N", "layer", "runs", "law", "exponent of n", "interval")


def law_rows(study: SaeStudy) -> list[tuple[str, ...]]:
    """Returns a row for each law, with the columns HEAD.

    Args:
        study: The laws.
    """
    rows: list[tuple[str, ...]] = []
    for law in study.laws:
        low, high = exponent_interval(law, study.level)
        fitted = (law.fit.law, f"{law.exponents[0]:.3g}", f"{low:.3g} to {high:.3g}") if law.fit else ("none", "", "")
        rows.append((law.kind, law.site, law.model, count(law.N), str(law.layer), str(law.runs), *fitted))
    return rows


def slope_lines(study: SaeStudy) -> list[str]:
    """Returns a line on the change of the exponent with the size of the model, for each kind and site."""
    lines = []
    for slope in study.slopes:
        low, high = slope.interval
        meaning = (
            "larger models gain more from more latents" if high < 0
            else "larger models gain less from more latents" if low > 0
            else "the interval includes no change"
        )  # fmt: skip
        lines.append(
            f"{slope.kind}, {slope.site}: the exponent of n (at k = {slope.k:.3g}) changes by {slope.value:.3g} "
            f"[{low:.3g}, {high:.3g}] per unit of ln N over {plural(slope.models, 'model')}: {meaning}"
        )
    return lines


def optimum_lines(study: SaeStudy) -> list[str]:
    """Returns a line on the compute-optimal number of latents of each law and k, and the notes on the envelopes."""
    lines, notes = [], []
    for law in study.laws:
        for optimum in law.optima:
            name = f"{law.kind}, {law.site}, N = {count(law.N)}, k = {optimum.k:g}"
            if optimum.error:
                lines.append(f"{name}: no compute-optimal n: {optimum.error}")
                continue
            (low, high), (least, most) = optimum.interval, optimum.latents_interval
            lines.append(
                f"{name}: n* = {count(optimum.latents)} [{count(least)}, {count(most)}] at C = {optimum.compute:.3g}, "
                f"n* ∝ C^{optimum.a:.3g} [{low:.3g}, {high:.3g}]"
            )
            notes.append(optimum.note.rpartition("; ")[0] if "is left out" in optimum.note else optimum.note)
    return [*lines, *dict.fromkeys(notes)]


def verdict_lines(study: SaeStudy) -> list[str]:
    """Returns the verdict of each fit, or why there is none."""
    lines = []
    for law in study.laws:
        name = f"{law.kind}, {law.site}, N = {count(law.N)}"
        lines += [f"{name}: {line}" for line in (law.fit.verdict if law.fit else [law.error])]
    return lines
