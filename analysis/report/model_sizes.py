"""The sections on larger budgets and other model sizes, and on the counting conventions of N and C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis import format
from analysis.errors import DataError, FitError
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.format import MISSING
from analysis.planning.compute_optimal import off_optimum, optimal_training
from analysis.report import sentences
from analysis.report.html import Table
from analysis.studies.conventions import Convention, explanations, table_rows

BUDGET_MULTIPLES = (1.0, 10.0, 100.0)  # budgets relative to the largest budget of the runs
OFF_OPTIMUM_MULTIPLE = 10.0
SIZE_FACTORS = (0.25, 0.5, 2.0, 4.0)  # model sizes relative to the optimal size
INFERENCE_RATIO = 1.0  # inference tokens per training token, for optima that include inference
KAPLAN_CAPTION = "Kaplan's exponents (2020) of the loss on the frontier of the runs, without an irreducible loss."


@dataclass(frozen=True)
class ModelSizes:
    """Optima of the parametric law and the cost of other sizes.

    Attributes:
        error: Reason that there are no optima, else "".
        optima: Optima with and without inference, by budget.
        other_sizes: Cost of training other sizes.
    """

    error: str = ""
    optima: Table | None = None
    other_sizes: Table | None = None


@dataclass(frozen=True)
class Counting:
    """Exponents under each counting convention.

    Attributes:
        error: Reason that the conventions could not be compared, else "".
        table: Exponents by convention.
        explanations: Sentences on the table.
        kaplan: Kaplan's exponents by counted quantity.
    """

    error: str = ""
    table: Table | None = None
    explanations: Sequence[str] = ()
    kaplan: Table | None = None


def describe_model_sizes(fit: Fit | None) -> ModelSizes:
    """Returns optima of the parametric law at larger budgets, and the cost of other sizes."""
    if fit is None:
        return ModelSizes(error="These predictions need the parametric law (approach 3), which could not be fitted.")
    try:
        return ModelSizes(optima=_optima(fit), other_sizes=_other_sizes(fit))
    except FitError as error:
        return ModelSizes(error=sentences.sentence(str(error)))


def _optima(fit: Fit) -> Table:
    budgets = [multiple * float(fit.points.C.max()) for multiple in BUDGET_MULTIPLES]
    rows = []
    for multiple, C, optimum in zip(BUDGET_MULTIPLES, budgets, optimal_training(fit, budgets).to_json(), strict=True):
        inference_tokens = INFERENCE_RATIO * optimum["D"]
        (with_inference,) = optimal_training(fit, C, inference_tokens=inference_tokens).to_json()
        rows.append((f"{multiple:g}×: {format.flops(C)}", MISSING, *_optimum_cells(optimum)))
        rows.append(("", format.count(inference_tokens), *_optimum_cells(with_inference)))
    unit = format.short_loss_unit(fit.points.loss_unit)
    head = ("FLOPs", "inference tokens", "N* (parameters)", "D* (tokens)", "tokens/parameter", f"loss ({unit})")
    caption = (
        f"Compute-optimal training by approach 3, with {fit.level:.0%} intervals; second rows: the optimum if the "
        "FLOPs include inference on as many tokens as in the training of the first row, at a third of the FLOPs per "
        "training token (Sardana 2024)."
    )
    return Table(head, "wnwwww", rows, caption)


def _optimum_cells(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        format.entry_estimate(entry, "N", format.count),
        format.entry_estimate(entry, "D", format.count),
        format.entry_estimate(entry, "tokens_per_parameter", format.three_digits),
        format.entry_estimate(entry, "L"),
    )


def _other_sizes(fit: Fit) -> Table:
    C = OFF_OPTIMUM_MULTIPLE * float(fit.points.C.max())
    rows = []
    for size in off_optimum(fit, C, SIZE_FACTORS):
        (entry,) = size.to_json()
        more_compute = format.entry_estimate(entry, "more_compute", format.percent)
        more_loss = format.entry_estimate(entry, "more_loss")
        rows.append((f"{size.factor:g} N*", format.count(entry["N"]), more_compute, more_loss))
    unit = format.short_loss_unit(fit.points.loss_unit)
    head = ("size", "parameters", "more compute for the same loss", f"more loss for the same compute ({unit})")
    return Table(head, "wnww", rows, f"Cost of training another size at {OFF_OPTIMUM_MULTIPLE:g}× the largest budget.")


def describe_counting(source: Source) -> Counting:
    """Returns the exponents under each counting convention, with explanations."""
    try:
        conventions = source.conventions()
    except (DataError, FitError) as error:
        return Counting(error=sentences.sentence(str(error)))
    head, *rows = table_rows(conventions, ("a chinchilla-2", "a chinchilla", "a kaplan"))
    return Counting(
        table=Table(head, "wwnwww", rows, "The same runs under each counting convention."),
        explanations=explanations(conventions),
        kaplan=Table(("exponent", "counted quantity", "value"), "wtw", _kaplan_rows(conventions), KAPLAN_CAPTION),
    )


def _kaplan_rows(conventions: list[Convention]) -> list[tuple[str, str, str]]:
    """Rows of alpha_N for each count of N, alpha_C for each count of C, and alpha_D."""
    rows: dict[tuple[str, str], str] = {}
    for convention in conventions:
        for name, counted in (("alpha_N", f"N {convention.N}"), ("alpha_C", f"C {convention.C}"), ("alpha_D", "D")):
            exponent = convention.exponents[name]
            text = f"none: {exponent.reason}" if exponent.reason else format.estimate(exponent.value, exponent.interval)
            rows.setdefault((name, counted), text)
    return sorted((name, counted, text) for (name, counted), text in rows.items())
