"""Savings of a plan by shared prefixes and packs, compared with one process per run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweeps.format import duration, short_count
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import Plan, step_shape
from sweeps.planning.sharing import SharingGraph

if TYPE_CHECKING:
    from sweeps.cost.pace import Pace


def savings(plan: Plan, graph: SharingGraph, workers: int = 1, pace: Pace | None = None) -> dict[str, Any]:
    """Returns the savings of a plan compared with one process per run.

    Args:
        plan: The plan.
        graph: Its trunks, branches and packs.
        workers: Number of processes that train at the same time.
        pace: Measured speed, for the saved seconds; None: no seconds.

    Returns:
        `sharing`: exact FLOPs and steps that branches do not repeat. `packing`: processes, compilations and dispatches
        saved by packs and by training several runs per process.
    """
    configs = {run.run_id: run.config for run in plan.runs}
    steps = sum(branch.step for branch in graph.branches)
    flops = sum(flops_until(configs[branch.run_id], branch.step) for branch in graph.branches)
    pack_steps = [[configs[name].steps for name in names] for names in graph.packs]
    sharing: dict[str, Any] = {"flops": flops, "steps": steps}
    packing: dict[str, Any] = {
        "processes": len(configs) - min(workers, len(configs)),
        "compilations": len(configs) - len({step_shape(config) for config in configs.values()}),
        "dispatches": sum(sum(steps) - max(steps) for steps in pack_steps),
    }
    if pace is not None:
        sharing["seconds"] = sum(
            flops_until(configs[b.run_id], b.step) / pace.rate(configs[b.run_id]) for b in graph.branches
        )
        packing["seconds"] = (
            packing["processes"] * pace.process_seconds + packing["compilations"] * pace.compile_seconds
        )
    return {"sharing": sharing, "packing": packing}


def as_json(graph: SharingGraph, saving: dict[str, Any]) -> dict[str, Any]:
    """Returns the entry `graph` of `plan --json`.

    Args:
        graph: Trunks, branches and packs.
        saving: Result of `savings`.
    """
    branches = [{"run_id": branch.run_id, "step": branch.step, "of": branch.source} for branch in graph.branches]
    streams = {"streams": graph.streams} if graph.streams else {}
    return {"trunks": graph.trunks, "branches": branches, "packs": graph.packs, **streams, "saved": saving}


def as_text(graph: SharingGraph, saving: dict[str, Any], pack: int, reason: str) -> list[str]:
    """Formats the shared prefixes, the packs and their savings.

    Args:
        graph: Trunks, branches and packs.
        saving: Result of `savings`.
        pack: Largest number of runs per pack.
        reason: Reason for this pack size.
    """
    sharing, packing = saving["sharing"], saving["packing"]

    def seconds_text(part: dict[str, Any]) -> str:
        return f", {duration(part['seconds'])} at the speed of the store's runs" if part.get("seconds") else ""

    lines = []
    if graph.branches:
        lines.append(
            f"sharing: {len(graph.branches)} branches of {len(graph.trunks)} trunks save "
            f"{short_count(sharing['flops'])} "
            f"FLOPs in {sharing['steps']:,} steps{seconds_text(sharing)}"
        )
    packed = sum(map(len, graph.packs))
    reason = "all runs of equal shape share a trunk" if pack > 1 else reason
    packs_text = f"{packed} runs in {len(graph.packs)} packs of up to {pack}" if graph.packs else f"off: {reason}"
    dispatches_text = f", {packing['dispatches']:,} dispatches" if packing["dispatches"] else ""
    lines += [
        f"packs: {packs_text}",
        f"saved, compared with one process per run: {packing['processes']} process starts, "
        f"{packing['compilations']} compilations{dispatches_text}{seconds_text(packing)}",
    ]
    return lines
