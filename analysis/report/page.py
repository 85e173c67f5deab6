"""The sections of the report as HTML: what is said, in which order. Words come from analysis/format.py."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as text
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import format
from analysis.fitting import result
from analysis.format import MISSING
from analysis.report import evals, outlook, runs, sentences
from analysis.report.html import table

if TYPE_CHECKING:
    from analysis.figures.source import Source
    from analysis.fitting.result import Fit
    from analysis.report.findings import Findings


def title(source: Source) -> str:
    """What stands in the browser's tab and at the top."""
    corpora = sorted({r.config.data.corpus for r in source.records if r.config.data.corpus})
    sweeps = sorted({r.sweep for r in source.records if r.sweep})
    name = ", ".join(sweeps) or Path(source.name).resolve().name
    return f"Scaling laws: {name}" + (f" on {', '.join(corpora)}" if corpora else "")


def sections(found: Findings, pictures: dict[str, str]) -> Iterator[str]:
    """The page from top to bottom."""
    yield _top(found)
    yield _short(found)
    yield "<h2>The law</h2>\n" + _law(found)
    yield "<h2>The compute optimum, three ways</h2>\n" + _optimum(found)
    if len(found.source.points):
        yield "<h2>What follows</h2>\n" + outlook.follows(found)
        yield "<h2>What is counted</h2>\n" + outlook.counted(found)
    yield "<h2>What to doubt</h2>\n" + _doubts(found)
    yield "<h2>Figures</h2>\n" + "\n".join(pictures[name] for name in pictures if name not in evals.TITLES)
    if evals.has(found.source):
        yield "<h2>Abilities</h2>\n" + evals.section(found.source, pictures)
    yield "<h2>Power laws of one quantity</h2>\n" + _single(found)
    yield "<h2>The runs</h2>\n" + runs.table_of(found.source)
    yield "<h2>How it was made</h2>\n" + runs.origin(found.source)


def _top(found: Findings) -> str:
    points = found.source.points
    if not len(points):
        said = "No run is done yet, so there is nothing to fit. What is known of the runs follows."
    else:
        spans = [
            f"{word} {format.count(v.min())} to {format.count(v.max())}"
            for word, v in (("parameters", points.N), ("tokens", points.D))
            if np.isfinite(v).all()
        ]
        if np.isfinite(points.C).all():
            spans.append(f"compute {format.flops(points.C.min())} to {format.flops(points.C.max())} FLOPs")
        said = f"{len(points)} runs; {'; '.join(spans)}. Losses are in nats a token."
    return f'<h1>{text(title(found.source))}</h1>\n<p class="lead">{text(said)}</p>'


def _short(found: Findings) -> str:
    lines = []
    law = found.fits.get("chinchilla")
    if law is not None:
        low, high = law.intervals["E"]
        lines.append(
            f"The law is {_formula(law)}. The part of the loss that no model and no data take away is "
            f"E = {text(format.estimate(law.params['E'], (low, high)))} nats a token."
        )
    best = next((found.fits[n] for n in ("chinchilla", "chinchilla-2", "chinchilla-1") if _optimal(found, n)), None)
    if best is not None:
        lines.append(text(sentences.allocation(best)))
        lines += [text(f) for f in _forecasts(best)]
    doubted = [sentences.NAMES[n] for n, fit in found.approaches.items() if sentences.doubtful(fit)]
    doubted += [f"{sentences.NAMES[n]} (no fit)" for n in sentences.NAMES if n in found.failed]
    if doubted:
        lines.append(f'<span class="warn">To be doubted: {text(", ".join(doubted))}.</span> The reasons are below.')
    elif found.approaches:
        lines.append("The three approaches converged with nothing of their own to doubt.")
    if not lines:
        lines.append("No law could be fitted. The reasons are below.")
    return '<div class="short">\n' + "\n".join(f"<p>{line}</p>" for line in lines) + "\n</div>"


def _optimal(found: Findings, name: str) -> bool:
    return name in found.fits and found.fits[name].optimum is not None


def _at(fit: Fit) -> list[dict[str, Any]]:
    """The optimum at 10× and 100× the largest budget, as `fit --json` has it."""
    return list(fit.to_json()["optimum"]["at"])


def _forecasts(fit: Fit) -> list[str]:
    return [sentences.forecast(at, times, fit.level) for at, times in zip(_at(fit), (10, 100), strict=False)]


def _formula(fit: Fit) -> str:
    """The law with its numbers, in HTML."""
    p = {name: format.number(value, fit.intervals.get(name)) for name, value in fit.params.items()}
    return (
        f"<i>L</i>(<i>N</i>, <i>D</i>) = {p['E']} + {p['A']} / <i>N</i><sup>{p['alpha']}</sup> + "
        f"{p['B']} / <i>D</i><sup>{p['beta']}</sup>"
    )


def _law(found: Findings) -> str:
    fit = found.fits.get("chinchilla")
    if fit is None:
        return _unfitted("The parametric law (approach 3)", found.failed.get("chinchilla", "not tried"))
    rows = [
        (format.SYMBOLS.get(name, name), format.number(value, fit.intervals.get(name)),
         format.between(fit.intervals.get(name)), MEANING.get(name, ""))
        for name, value in fit.params.items()
    ]  # fmt: skip
    return "\n".join(
        [
            f'<p class="law">{_formula(fit)}</p>',
            table(("", "value", f"{fit.level:.0%} interval", "what it is"), rows, "tnnt"),
            f"<p>Fitted to {len(fit.points)} runs (Hoffmann 2022, approach 3). "
            f"Objective: {text(sentences.objective(fit))}. {text(result.starts(fit).capitalize())}. "
            f"{_verdict(fit)}</p>",
            _floor(found.source, fit),
        ]
    )


MEANING = {
    "E": "loss that no model and no data take away, nats a token",
    "A": "scale of the loss for want of parameters",
    "B": "scale of the loss for want of data",
    "alpha": "how fast parameters help",
    "beta": "how fast data help",
}


def _floor(source: Source, fit: Fit) -> str:
    """The entropy rate beside E, where the corpus has a known one."""
    rate, (low, high) = source.entropy_rate, fit.intervals["E"]
    if rate is None:
        return ""
    side = "inside" if low <= rate <= high else "outside"
    return (
        f"<p>The text's entropy rate is known: {rate:.4f} nats a token, {side} of the interval of E. "
        "No model can do better in the long run.</p>"
    )


def _verdict(fit: Fit) -> str:
    return f"<span{' class=warn' if sentences.doubtful(fit) else ''}>{text(sentences.verdict(fit))}</span>"


def _unfitted(what: str, why: str) -> str:
    return f'<p class="warn">{text(what)} could not be fitted: {text(why.rstrip("."))}.</p>'


def _optimum(found: Findings) -> str:
    fits = {name: fit for name, fit in found.approaches.items() if fit.optimum is not None}
    out = [
        "<p>N* and D* are the parameters and tokens with the least loss for a given compute: N* grows as "
        "C<sup>a</sup>, D* as C<sup>b</sup>.</p>"
    ]
    rows, later = [], []
    for name in sentences.LONG_NAMES:
        fit = fits.get(name)
        label = sentences.LONG_NAMES[name]
        if fit is None or fit.optimum is None:
            rows.append((label, "no fit", "no fit", found.failed.get(name, "")))
            continue
        of = fit.optimum
        a, b = (format.estimate(v, of.intervals[k]) for k, v in (("a", of.a), ("b", of.b)))
        rows.append((label, a, b, "doubtful" if sentences.doubtful(fit) else "converged"))
        for at, times in zip(_at(fit), (10, 100), strict=False):
            later.append(
                (
                    f"{times}×: {format.flops(at['C'])} FLOPs",
                    sentences.NAMES[name].removeprefix("Approach "),
                    *_cells(at),
                )
            )
    out.append(table(("approach", "a", "b", ""), rows, "twwt"))
    if later:
        level = next(iter(fits.values())).level
        head = ("compute", "approach", "N* (parameters)", "D* (tokens)", "tokens a parameter", "loss (nats/token)")
        out.append(table(head, sorted(later, key=lambda r: len(r[0].split("×")[0])), "wtwwnw",
                         f"At 10× and 100× the largest budget, with {level:.0%} intervals."))  # fmt: skip
    apart = sentences.disagreement(fits)
    if apart:
        out.append(f"<p>{text(apart)}</p>")
    return "\n".join(out) + _budgets(found.source)


def _budgets(source: Source) -> str:
    """Approach 2's minimum at each budget."""
    from analysis.errors import FitError

    try:
        parabolas = source.isoflop().budgets
    except FitError:
        return ""
    rows = []
    for one in parabolas:
        where = "has no minimum" if one.concave else "inside its runs" if one.inside else "beyond its runs: left out"
        best = ("none", "none")
        if one.N_opt is not None and one.L_opt is not None and one.inside:
            best = (format.estimate(one.N_opt, one.interval, format.count), f"{one.L_opt:.4f}")
        rows.append((format.flops(one.budget), str(one.count), *best, where))
    head = ("budget (FLOPs)", "runs", "N* (parameters)", "loss there", "the minimum is")
    return "\n" + table(head, rows, "wnwnt", "Approach 2, budget by budget.")


def _cells(at: dict[str, Any]) -> tuple[str, ...]:
    intervals = at["intervals"]
    loss = format.estimate(at["L"], intervals["L"]) if at.get("L") is not None and "L" in intervals else MISSING
    sizes = (format.estimate(at[k], intervals[k], format.count) for k in "ND")
    return (*sizes, f"{at['D'] / at['N']:.3g}", loss)


def _doubts(found: Findings) -> str:
    points, said = found.source.points, []
    for name, label in sentences.NAMES.items():
        if name in found.failed:
            said.append(f"<b>{label}</b> could not be fitted: {text(sentences.sentence(found.failed[name]))}")
        elif name in found.fits and sentences.doubtful(found.fits[name]):
            said.append(f"<b>{label}.</b> {text(sentences.verdict(found.fits[name]))}")
    if len(points):
        if np.isfinite(points.C).all():
            said.append(text(sentences.extrapolation(points)))
        if "chinchilla-2" in found.fits:
            said.append(text(sentences.parabolas(found.source.isoflop())))
        said.append(
            f"Counting: {text(points.convention)}. The exponents depend on what is counted, most of all where models "
            "are small (Porian 2024)."
        )
    said += [text(sentences.sentence(note)) for note in points.notes]
    law = found.fits.get("chinchilla")
    listed = "<ul>\n" + "\n".join(f"<li>{s}</li>" for s in said) + "\n</ul>"
    return listed + (outlook.left_out(law) if law is not None else "")


def _single(found: Findings) -> str:
    rows = []
    for name in ("kaplan-c", "kaplan-d", "kaplan-n", "power-c", "power-d", "power-n"):
        fit = found.fits.get(name)
        if fit is None:
            rows.append((name, MISSING, f"no fit: {found.failed.get(name, 'not tried')}", ""))
            continue
        values = ", ".join(
            f"{format.SYMBOLS.get(k, k)} = {format.estimate(v, fit.intervals.get(k))}" for k, v in fit.params.items()
        )
        rows.append(
            (name, str(len(fit.points)), values, sentences.verdict(fit) if sentences.doubtful(fit) else "nothing")
        )
    return (
        "<p>Laws in one quantity, fitted to the frontier: the runs that none with less of it beats. kaplan-x is "
        "(X<sub>c</sub>/X)<sup>α</sup> (Kaplan 2020); power-x adds an irreducible loss E.</p>\n"
        + table(("law", "runs", "parameters", "to be doubted"), rows, "wntt")
    )
