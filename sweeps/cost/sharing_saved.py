"""sweeps.cost.sharing_saved."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sweeps.format import duration, short
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import Plan, shape
from sweeps.planning.sharing import Graph

if TYPE_CHECKING:
    from sweeps.cost.pace import Pace


def saved(of: Plan, found: Graph, workers: int = 1, by: Pace | None = None) -> dict[str, Any]:
    """What the graph saves against one process a run, in `sharing` and in `packing`.

    FLOPs and steps of sharing are exact. Seconds are as the store's runs took (by), absent where it has none: of
    sharing, what the shared steps would have taken; of packing, starts and compilations, with those that a process for
    many runs saves by itself.
    """
    configs = {run.run_id: run.config for run in of.runs}
    steps = sum(branch.step for branch in found.branches)
    flops = sum(flops_until(configs[branch.run_id], branch.step) for branch in found.branches)
    together = [[configs[name].steps for name in names] for names in found.packs]
    sharing: dict[str, Any] = {"flops": flops, "steps": steps}
    packing: dict[str, Any] = {
        "processes": len(configs) - min(workers, len(configs)),
        "compilations": len(configs) - len({shape(config) for config in configs.values()}),
        "dispatches": sum(sum(steps) - max(steps) for steps in together),
    }
    if by is not None:
        sharing["seconds"] = sum(
            flops_until(configs[b.run_id], b.step) / by.rate(configs[b.run_id]) for b in found.branches
        )
        packing["seconds"] = packing["processes"] * by.starting + packing["compilations"] * by.compiling
    return {"sharing": sharing, "packing": packing}


def as_json(found: Graph, saving: dict[str, Any]) -> dict[str, Any]:
    """The graph in `plan --json`."""
    return {**dataclasses.asdict(found), "saved": saving}


def as_text(found: Graph, saving: dict[str, Any], pack: int, why: str) -> list[str]:
    """The graph in a line or two for a person. why: packs are made, or none."""
    sharing, packing = saving["sharing"], saving["packing"]

    def took(part: dict[str, Any]) -> str:
        return f", {duration(part['seconds'])} of a process as the store's runs took" if part.get("seconds") else ""

    lines = []
    if found.branches:
        lines.append(
            f"sharing: {len(found.branches)} branches of {len(found.trunks)} trunks save {short(sharing['flops'])} "
            f"FLOPs in {sharing['steps']:,} steps{took(sharing)}"
        )
    held = sum(map(len, found.packs))
    why = "no two runs of one shape without a trunk in common" if pack > 1 else why
    said = f"{held} runs in {len(found.packs)} packs of up to {pack}" if found.packs else f"none ({why})"
    fewer = f", {packing['dispatches']:,} dispatches" if packing["dispatches"] else ""
    lines.append(
        f"packs: {said}; against one process a run: {packing['processes']} starts and {packing['compilations']} "
        f"compilations less{fewer}{took(packing)}"
    )
    return lines
