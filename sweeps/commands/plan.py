"""sweeps.commands.plan."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from scaling.config.validation import to_dict
from sweeps.commands.options import fetched, make_plan, slice_of
from sweeps.definitions import DEFINITIONS, definition
from sweeps.planning.corpus import for_planning
from sweeps.planning.plan import Plan, cost, epochs, notes


def run_list(args: argparse.Namespace) -> int:
    """`list`: each sweep in a line."""
    width = max(len(name) for name in DEFINITIONS)
    for name, known in DEFINITIONS.items():
        text = (known.make.__doc__ or "").strip().splitlines()[0]
        print(f"{name:<{width}}  {text} (corpus {known.corpus})")
    return 0


def run_plan(args: argparse.Namespace) -> int:
    """`plan`: the table, or JSON."""
    from sweeps.cost import sharing_saved
    from sweeps.cost.compiled_time import longer
    from sweeps.cost.pace import pace, seconds_left
    from sweeps.cost.quote import quote
    from sweeps.planning import sharing
    from sweeps.planning.plan import cost
    from sweeps.planning.workers import useful_pack, useful_workers

    on = slice_of(args)
    store = fetched(args.store) if args.store else None
    corpus_name = args.corpus or definition(args.name).corpus
    with ExitStack() as stack:
        corpus = stack.enter_context(for_planning(store.root if store else None, corpus_name, args.tokenizer))
        planned = make_plan(args, corpus, store)
        left = cost(planned)["flops_left"]
        measured = pace(store) if store and left else None
        rate = left / seconds_left(planned, measured) if measured else None
        work = ((to_dict(run.config), run.config.steps - run.from_step, run.flops_to_run) for run in planned.left)
        quoted = quote(left, on, args.mfu, longer(store, work, on, args.mfu) if store else 0.0) if on else None
        size, why = useful_pack() if args.pack is None else (args.pack, "as asked")
        found = sharing.graph([run.config for run in planned.runs], size, planned.starts)
        saving = sharing_saved.saved(planned, found, useful_workers(), pace(store) if store else None)
        if args.json:
            whole = {**as_json(planned, rate, quoted), "graph": sharing_saved.as_json(found, saving)}
            print(json.dumps({"sweep": args.name, **whole}, indent=1, allow_nan=False))
        else:
            print(as_text(planned, rate, quoted, sharing_saved.as_text(found, saving, size, why)))
    return 0


def as_json(of: Plan, rate: float | None = None, quoted: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `plan --json` writes. quoted: of sweeps/cost/quote.py."""
    runs = []
    for run in of.runs:
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "budget": run.config.budget,
            "N": run.N,
            "D": run.D,
            "C": run.C,
            "tokens_per_parameter": run.D / run.N,
            "epochs": epochs(run, of),
            "width": run.config.model.width,
            "layers": run.config.model.layers,
            "length": run.config.data.length,
            "batch": run.config.batch,
            "steps": run.config.steps,
            "lr": run.config.optimizer.lr,
            "from_step": run.from_step,
            "status": run.status,
            "config": to_dict(run.config),
        }
        runs.append({key: value for key, value in row.items() if value is not None})
    return {
        "corpus": dataclasses.asdict(of.corpus),
        "convention": "N: all parameters; C: exact training FLOPs, causal attention and head included",
        "runs": runs,
        "cost": cost(of, rate) | ({"quote": quoted} if quoted else {}),
        "notes": notes(of),
    }


def as_text(
    of: Plan, rate: float | None = None, quoted: dict[str, Any] | None = None, graph: Sequence[str] = ()
) -> str:
    """The plan as a table for a person. graph: lines of sweeps/planning/sharing.py."""
    from sweeps.cost import quote
    from sweeps.format import duration, short, table

    header = ["run", "budget", "width", "layers", "N", "D", "C", "D/N", "steps", "from", "lr", "state"]
    rows = [
        [
            run.run_id[:12],
            short(run.config.budget) if run.config.budget is not None else "",
            str(run.config.model.width),
            str(run.config.model.layers),
            short(run.N),
            short(run.D),
            short(run.C),
            f"{run.D / run.N:.1f}",
            f"{run.config.steps:,}",
            f"{run.from_step:,}" if run.from_step else "",
            f"{run.config.optimizer.lr:.2g}",
            run.status or "",
        ]
        for run in of.runs
    ]
    paid = cost(of, rate)
    saved = f"{short(paid['flops_saved'])} FLOPs, {paid['flops_saved'] / paid['flops_separate']:.0%}"
    lines = [
        table(header, rows),
        "",
        f"{paid['runs']} runs of {paid['shapes']} shapes: {short(paid['flops'])} FLOPs, {short(paid['tokens'])} tokens "
        f"(shared prefixes save {saved})",
        *graph,
        f"left to run: {short(paid['flops_left'])} FLOPs"
        + (f", some {duration(paid['seconds_left'])} at the rate of the runs in the store" if rate is not None else ""),
        *([quote.as_text(quoted)] if quoted else []),
        *notes(of),
    ]
    return "\n".join(lines)
