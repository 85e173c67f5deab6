"""A store of runs with the items of their evaluations, of tasks whose truth is known: what emergence is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit

from scaling.config.run import run_id
from scaling.counting.counts import parameters
from scaling.store.record import Store
from tests.support.known_store import config, curve, loss, record

SHAPES = ((16, 1), (24, 2), (32, 2), (48, 3), (64, 4), (96, 4), (128, 5), (160, 6))
BUDGETS = tuple(float(b) for b in np.geomspace(1e11, 1e14, 8))
ITEMS = 120


def build(root: Path, *, items: int = ITEMS, shots: tuple[int, ...] = (), seed: int = 0) -> Store:
    """Eight runs, each of its own size and budget, with items of three tasks.

    addition-4: four digits, the logit of each straight in log C (an artefact); switch: four tokens that jump between
    the fifth and the sixth run (a break); choice: four choices, straight (smooth). shots: addition-4 with examples too,
    which help.
    """
    store, rng = Store(root), np.random.default_rng(seed)
    for i, (shape, budget) in enumerate(zip(SHAPES, BUDGETS, strict=True)):
        run, part = config(*shape, budget), i / (len(SHAPES) - 1)
        final = loss(parameters(run.model)["total"], run.tokens)
        store.write(record(run, "done", final))
        store.finish_curve(run_id(run), curve(run, final, rng, 20))
        folder = store.run_dir(run_id(run)) / "items"
        for k in (None, *shots):
            z = -3 + 6.3 * part + (0.25 * np.log1p(k) if k else 0.0)
            name = "addition-4" if k is None else f"addition-4@{k}"
            write(folder / f"{name}.{run.steps}.parquet", answers(rng, z, items, "addition", 4, k or 0))
        jump = 0.3 * part + (2.7 if i >= 5 else -1.6)
        write(folder / f"switch.{run.steps}.parquet", answers(rng, jump, items, "switch", 4, 0))
        write(folder / f"choice.{run.steps}.parquet", choices(rng, 0.2 + 2.2 * part, items))
    return store


def answers(rng: np.random.Generator, z: float, items: int, family: str, k: int, shots: int) -> list[dict[str, Any]]:
    """Items with an answer of k digits, each right with probability σ(z) on its own."""
    rows = []
    for item in range(items):
        p = expit(z + rng.normal(0, 0.3, k))
        answer = f"{item % 10**k:0{k}d}"
        right = rng.random(k) < p
        text = "".join(d if ok else str((int(d) + 1) % 10) for d, ok in zip(answer, right, strict=True))
        passed = [bool(right.all()), *(bool(x) for x in rng.random(20) < np.prod(p))]
        rows.append(row(family, item, "exact", shots, answer=answer, answer_logp=np.log(p).tolist(), chance=0.0,
                        greedy=bool(right.all()), generated=[text], passed=passed, difficulty=float(k)))  # fmt: skip
    return rows


def choices(rng: np.random.Generator, z: float, items: int) -> list[dict[str, Any]]:
    """Items of four choices, the right one z nats likelier than the others, give or take."""
    rows = []
    for item in range(items):
        logp = rng.normal(-6, 1.0, 4)
        gold = int(rng.integers(4))
        logp[gold] += z
        rows.append(row("choice", item, "choice", 0, answer="abc", answer_logp=[float(logp[gold])], chance=0.25,
                        choices=["a", "b", "c", "d"], choice_logp=logp.tolist(), choice_tokens=[1, 1, 1, 1],
                        choice_bytes=[1, 1, 1, 1], gold=gold))  # fmt: skip
    return rows


def row(family: str, item: int, kind: str, shots: int, *, answer: str, **more: Any) -> dict[str, Any]:
    return {"task": family, "family": family, "difficulty": 1.0, "shots": shots, "step": 0, "item": item,
            "metric_kind": kind, "prompt": "?", "answer": answer, "answer_tokens": len(answer),
            "answer_bytes": len(answer), **more}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False), path)
