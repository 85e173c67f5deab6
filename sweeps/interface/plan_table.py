"""A plan as text and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import ValidatedConfig, field_types, to_dict
from sweeps.planning.fields import field_value, format_field, varied_fields
from sweeps.planning.plan import Plan, epochs, plan_cost, plan_notes


def as_json(plan: Plan, rate: float | None = None, quoted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the JSON object that `plan --json` prints.

    Args:
        plan: The plan.
        rate: FLOP/s of this machine.
        quoted: Result of `quote_flops`.
    """
    runs = []
    for run in plan.runs:
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "budget": run.config.budget,
            "N": run.N,
            "D": run.D,
            "C": run.C,
            "tokens_per_parameter": run.D / run.N,
            "epochs": epochs(run, plan),
            "width": run.config.model.width,
            "layers": run.config.model.layers,
            "length": run.config.data.length,
            "batch": run.config.batch,
            "steps": run.config.steps,
            "lr": run.config.optimizer.lr,
            "from_step": run.from_step,
            "status": run.status,
            "config": _config_dict(run.config),
        }
        runs.append({key: value for key, value in row.items() if value is not None})
    return {
        "corpus": dataclasses.asdict(plan.corpus),
        **({"set": dict(plan.fields)} if plan.fields else {}),
        "convention": "N: all parameters; C: exact training FLOPs, causal attention and head included",
        "runs": runs,
        "cost": plan_cost(plan, rate) | ({"quote": quoted} if quoted else {}),
        "notes": plan_notes(plan),
    }


def _config_dict(config: RunConfig) -> dict[str, Any]:
    """Returns a config as JSON types, like `to_dict`, but sharing the parts that runs have in common."""
    values = {name: getattr(config, name) for name in field_types(RunConfig)}
    return {name: _part_dict(value) if isinstance(value, ValidatedConfig) else value for name, value in values.items()}


@lru_cache(maxsize=2**14)
def _part_dict(part: ValidatedConfig) -> dict[str, Any]:
    return to_dict(part)


RUN_COLUMNS = ["run", "budget", "width", "layers", "N", "D", "C", "D/N", "steps", "from", "lr", "state"]


SAE_COLUMNS = ["sae", "n", "k", "layer"]


def sae_cells(config: RunConfig) -> list[str]:
    """Returns the cells of SAE_COLUMNS of a run; empty ones of a model."""
    sae = config.sae
    if sae is None:
        return [""] * len(SAE_COLUMNS)
    return [sae.kind, str(sae.latents), "" if sae.l0 is None else f"{sae.l0:g}", str(sae.layer)]


def run_table(plan: Plan) -> str:
    """Returns the table of runs: RUN_COLUMNS, and a column for each field with several values."""
    from sweeps.format import text_table

    varied = [name for name in varied_fields(plan.fields) if name != "optimizer.lr"]
    saes = SAE_COLUMNS if any(run.config.sae for run in plan.runs) else []
    columns = [*RUN_COLUMNS[:-1], *saes, *varied, RUN_COLUMNS[-1]]
    rows = [
        [
            *row[:-1],
            *(sae_cells(run.config) if saes else []),
            *(format_field(field_value(run.config, name)) for name in varied),
            row[-1],
        ]
        for row, run in zip(run_rows(plan), plan.runs, strict=True)
    ]
    return text_table(columns, rows)


def run_rows(plan: Plan) -> list[list[str]]:
    """Returns the rows of the table of runs, one cell per entry of RUN_COLUMNS."""
    from sweeps.format import short_count

    return [
        [
            run.run_id[:12],
            short_count(run.config.budget) if run.config.budget is not None else "",
            str(run.config.model.width),
            str(run.config.model.layers),
            short_count(run.N),
            short_count(run.D),
            short_count(run.C),
            f"{run.D / run.N:.1f}",
            f"{run.config.steps:,}",
            f"{run.from_step:,}" if run.from_step else "",
            f"{run.config.optimizer.lr:.2g}",
            run.status or "",
        ]
        for run in plan.runs
    ]


def as_text(
    plan: Plan, rate: float | None = None, quoted: dict[str, Any] | None = None, graph: Sequence[str] = ()
) -> str:
    """Formats the plan as a table.

    Args:
        plan: The plan.
        rate: FLOP/s of this machine.
        quoted: Result of `quote_flops`.
        graph: Lines about shared prefixes and packs.
    """
    return "\n".join([run_table(plan), "", *summary_lines(plan, rate, quoted, graph)])


def stream_lines(cost: dict[str, Any]) -> list[str]:
    """Returns a line about the activations that sparse autoencoders read; none without autoencoders.

    Args:
        cost: Result of `plan_cost`.
    """
    from sweeps.format import short_count

    if "streams" not in cost:
        return []
    return [
        f"activations: {cost['streams']} streams, each computed once for its autoencoders: "
        f"{short_count(cost['flops_activations'])} FLOPs of forward passes beside those above, "
        f"{short_count(cost['flops_activations_left'])} remaining"
    ]


def summary_lines(
    plan: Plan, rate: float | None = None, quoted: dict[str, Any] | None = None, graph: Sequence[str] = ()
) -> list[str]:
    """Returns the lines about the whole plan: its cost and notes.

    Args:
        plan: The plan.
        rate: FLOP/s of this machine.
        quoted: Result of `quote_flops`.
        graph: Lines about shared prefixes and packs.
    """
    from sweeps.cost import quote
    from sweeps.format import duration, short_count

    cost = plan_cost(plan, rate)
    saved = f"{short_count(cost['flops_saved'])} FLOPs, {cost['flops_saved'] / cost['flops_separate']:.0%}"
    return [
        f"{cost['runs']} runs of {cost['shapes']} shapes: {short_count(cost['flops'])} FLOPs, "
        f"{short_count(cost['tokens'])} tokens "
        f"(shared prefixes save {saved})",
        *stream_lines(cost),
        *graph,
        f"remaining: {short_count(cost['flops_left'])} FLOPs"
        + (
            f", about {duration(cost['seconds_left'])} at the speed of the runs in the store"
            if rate is not None
            else ""
        ),
        *([quote.as_text(quoted)] if quoted else []),
        *plan_notes(plan),
    ]
