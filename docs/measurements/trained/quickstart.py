"""The demo: 35 small Transformers on Python's standard library, and the laws fitted to them."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

APPROACHES = {
    "chinchilla-1": "approach 1, envelope of the curves",
    "chinchilla-2": "approach 2, isoFLOP parabolas",
    "chinchilla": "approach 3, $L = E + A/N^\\alpha + B/D^\\beta$",
}
FIGURES = ("isoflop", "curves", "kaplan", "contours", "parity")


def measure(session: Session) -> Results:
    """Trains the sweep, fits the three approaches of Hoffmann 2022 and draws the figures."""
    session.train("sweeps", "launch", "quickstart", "--store", "STORE")
    plan = session.json("sweeps", "plan", "quickstart", "--store", "STORE", "--json")
    runs = session.json("sweeps", "status", "quickstart", "--store", "STORE", "--json")["runs"]
    exponents = []
    for law, text in APPROACHES.items():
        fit = session.json("analysis", "fit", "STORE", "--law", law, "--json", "-")
        optimum = fit["optimum"]
        cells = [[optimum[name], *optimum["intervals"][name]] for name in ("a", "b")]
        exponents.append([text, *cells, fit["points"], "; ".join(fit["verdict"])])
        if law == "chinchilla":
            parameters = [[name, [fit["params"][name], *fit["intervals"][name]]] for name in fit["params"]]
    for figure in FIGURES:
        session.figure(figure)
    budgets: dict[float, list[dict[str, float]]] = {}
    for run in runs:
        budgets.setdefault(run["budget"], []).append(run)
    best = {budget: min(group, key=lambda run: run["loss"]) for budget, group in sorted(budgets.items())}
    approach = Column("approach of Hoffmann 2022")
    a, b = Column("a, $N^* \\propto C^a$", ".2f"), Column("b, $D^* \\propto C^b$", ".2f")
    return Results(
        {
            "main": Table([approach, a, b, Column("points"), Column("verdict")], exponents),
            "surface": Table([Column("parameter of approach 3"), Column("estimate [95% interval]", ".3g")], parameters),
            "losses": Table(
                [Column("budget, FLOPs", ".3g"), Column("runs"), Column("N of the best run", ","),
                 Column("its held-out loss, nats per byte", ".3f")],
                [[budget, len(budgets[budget]), run["N"], run["loss"]] for budget, run in best.items()],
            ),
        },
        {
            "runs": Value(len(runs)),
            "minutes": Value(session.commands[0]["seconds"] / 60, ".1f"),
            "flops": Value(plan["cost"]["flops"], ".2e"),
            "saved": Value(plan["cost"]["flops_saved"] / plan["cost"]["flops_separate"], ".0%"),
        },
    )  # fmt: skip
