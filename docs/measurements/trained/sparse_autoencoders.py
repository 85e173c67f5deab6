"""Scaling laws of sparse autoencoders of small models: L(n, k), and how its exponent changes with the model's size."""

from __future__ import annotations

import json
from typing import Any

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

SMALL = ("widths=16,24", "ratio=5", "latents=32,64,128,256", "l0=2,4", "tokens=20480")  # of a test
FIGURES = ("sae-loss", "sae-exponents", "sae-pareto")


def measure(session: Session) -> Results:
    """Trains the sweep `sae` at its default size, fits L(n, k) to each model and draws the figures."""
    settings = [word for text in (SMALL if session.small else ()) for word in ("--set", text)]
    session.train("sweeps", "launch", "sae", "--store", "STORE", *settings)
    plan = session.json("sweeps", "plan", "sae", "--store", "STORE", *settings, "--json")
    study = session.json("analysis", "sae", "STORE", "--json", "-")
    for figure in FIGURES:
        session.figure(figure)
    models = study["models"]
    saes = [run for run in plan["runs"] if json.dumps(run["config"].get("sae")) != "null"]
    cost = plan["cost"]
    return Results(
        {
            "main": Table(
                [Column("parameters of the model", ","), Column("autoencoders"), Column("exponent of n", ".3f"),
                 Column("verdict")],
                [[int(model["N"]), model["runs"], exponent(model), verdict(model)] for model in models],
            ),
            "law": Table(
                [Column("parameters of the model", ","), Column("parameter"), Column("estimate", ".3g")],
                [row for model in models for row in parameters(model)],
            ),
            "slope": Table(
                [Column("kind"), Column("models"), Column("change of the exponent per unit of ln N", ".3f")],
                [[slope["kind"], slope["models"], [slope["slope"], *slope["interval"]]] for slope in study["slopes"]],
            ),
            "optimum": Table(
                [Column("parameters of the model", ","), Column("k", ".0f"), Column("n* at the largest C", ".0f"),
                 Column("exponent of C", ".2f"), Column("why there is none")],
                [row for model in models for row in optima(model)],
            ),
        },
        {
            "models": Value(len(models)),
            "saes": Value(len(saes)),
            "minutes": Value(session.commands[0]["seconds"] / 60, ".1f"),
            "flops": Value(cost["flops"], ".2e"),
            "activations": Value(cost["flops_activations"], ".2e"),
        },
    )  # fmt: skip


def exponent(model: dict[str, Any]) -> list[float] | None:
    """Returns the exponent of n of a model with its interval; None without a fit."""
    fitted = model.get("exponent")
    return None if fitted is None else [fitted["value"], *fitted["interval"]]


def verdict(model: dict[str, Any]) -> str:
    """Returns the codes of the verdict of a fit, or why there is none."""
    if "fit" not in model:
        return str(model["error"])
    return ", ".join(line.partition(":")[0] for line in model["fit"]["verdict"])


def parameters(model: dict[str, Any]) -> list[list[Any]]:
    """Returns the parameters of the law of a model with their intervals."""
    fit = model.get("fit")
    if fit is None:
        return []
    return [[int(model["N"]), name, [value, *fit["intervals"][name]]] for name, value in fit["params"].items()]


def optima(model: dict[str, Any]) -> list[list[Any]]:
    """Returns the compute-optimal number of latents of a model at each k, or why there is none."""
    return [
        [int(model["N"]), o["k"], None, None, o["error"]] if "error" in o
        else [int(model["N"]), o["k"], [o["latents"], *o["latents_interval"]], [o["a"], *o["interval"]], ""]
        for o in model["optimal_latents"]
    ]  # fmt: skip
