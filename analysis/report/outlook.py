"""What follows from the law, and what the count of N and C does to it: two sections of the report, as HTML."""

from __future__ import annotations

from html import escape as text
from typing import TYPE_CHECKING, Any

from analysis import format
from analysis.format import MISSING
from analysis.report import sentences
from analysis.report.html import table

if TYPE_CHECKING:
    from analysis.fitting.result import Fit
    from analysis.report.findings import Findings
    from analysis.studies.conventions import Counting

TIMES = (1.0, 10.0, 100.0)  # of the largest budget
FACTORS = (0.25, 0.5, 2.0, 4.0)  # of the best size
SERVED = 1.0  # tokens served for each token trained on, where inference counts


def follows(found: Findings) -> str:
    """Optima of the parametric law, with and without inference, and what other sizes cost."""
    from analysis.errors import FitError

    law = found.fits.get("chinchilla")
    if law is None:
        return '<p class="warn">Without the parametric law (approach 3) nothing follows.</p>'
    try:
        return "\n".join([_optima(law), _off(law)])
    except FitError as error:
        return f'<p class="warn">{text(sentences.sentence(str(error)))}</p>'


def _optima(law: Fit) -> str:
    from analysis.planning.compute_optimal import frontier

    budgets = [times * float(law.points.C.max()) for times in TIMES]
    plain = frontier(law, budgets).to_json()
    rows = []
    for times, C, one in zip(TIMES, budgets, plain, strict=True):
        served = SERVED * one["D"]
        (other,) = frontier(law, C, inference_tokens=served).to_json()
        rows.append((f"{times:g}×: {format.flops(C)}", MISSING, *_cells(one)))
        rows.append(("", format.count(served), *_cells(other)))
    head = ("FLOPs", "served", "N* (parameters)", "D* (tokens)", "tokens a parameter", "loss (nats/token)")
    said = (
        f"The best training by approach 3, with {law.level:.0%} intervals; and the best where the same FLOPs must also "
        "serve as many tokens as that training reads, at a third of a training token's FLOPs each (Sardana 2024)."
    )
    return table(head, rows, "wnwwww", said)


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    sizes = [format.estimate_of(one, letter, format.count) for letter in "ND"]
    return (*sizes, format.estimate_of(one, "tokens_per_parameter", format.three), format.estimate_of(one, "L"))


def _off(law: Fit) -> str:
    from analysis.planning.compute_optimal import off_optimum

    C = TIMES[1] * float(law.points.C.max())
    rows = []
    for off in off_optimum(law, C, FACTORS):
        (one,) = off.to_json()
        more = format.estimate_of(one, "more_compute", format.share)
        rows.append((f"{off.factor:g} N*", format.count(one["N"]), more, format.estimate_of(one, "more_loss")))
    said = f"What it costs to train another size at {TIMES[1]:g}× the largest budget."
    head = ("size", "parameters", "more compute for the same loss", "more loss for the same compute (nats/token)")
    return table(head, rows, "wnww", said)


def counted(found: Findings) -> str:
    """The exponents under each counting, and why they differ."""
    from analysis.errors import DataError, FitError
    from analysis.studies.conventions import explained, rows

    try:
        countings = found.source.countings()
    except (DataError, FitError) as error:
        return f'<p class="warn">Not counted otherwise: {text(sentences.sentence(str(error)))}</p>'
    head, *body = rows(countings, ("a chinchilla-2", "a chinchilla", "a kaplan"))
    said = "".join(f"<p>{text(line)}</p>" for line in explained(countings))
    shown = table(head, body, "wwnwww", "The same runs, counted each way.")
    return shown + said + table(("exponent", "of", "value"), _kaplan(countings), "wtw", KAPLAN)


KAPLAN = "Kaplan's exponents (2020): each of the loss over the frontier of the runs, without an irreducible part."


def _kaplan(countings: list[Counting]) -> list[tuple[str, str, str]]:
    """alpha_N by what N counts, alpha_C by what C does, alpha_D once."""
    found: dict[tuple[str, str], str] = {}
    for one in countings:
        for name, of in (("alpha_N", f"N {one.N}"), ("alpha_C", f"C {one.C}"), ("alpha_D", "D")):
            e = one.exponents[name]
            said = f"none: {e.why}" if e.why else format.estimate(e.value, e.interval)
            found.setdefault((name, of), said)
    return sorted((name, of, said) for (name, of), said in found.items())


def left_out(law: Fit) -> str:
    """The parameters without each budget, as a table; nothing where that could not be done."""
    if not law.left_out:
        return ""
    names = [name for name in law.params if name not in law.held]
    rows = [
        (one.without, str(one.points), *(f"{one.params[name]:.4g}" for name in names), f"{one.p:.2g}")
        for one in law.left_out
    ]
    rows.append(("nothing", str(len(law.points)), *(f"{law.params[name]:.4g}" for name in names), ""))
    head = ("without", "runs left", *(format.SYMBOLS.get(name, name) for name in names), "p")
    said = (
        "The parametric law fitted without each part of the runs. p: how often chance alone would put a part as far "
        "off the law of the others."
    )
    return table(head, rows, "wn" + "n" * len(names) + "n", said)
