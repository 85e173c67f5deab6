"""A store of runs whose losses lie on a known surface: what the figures and the report are tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.counting.counts import parameters, run_flops
from scaling.store.record import Record, Store

TRUTH = {"E": 1.1, "A": 60.0, "B": 260.0, "alpha": 0.36, "beta": 0.34}
BUDGETS = (1e12, 3e12, 1e13, 3e13)
SHAPES = ((16, 1), (24, 2), (32, 2), (48, 3), (64, 4), (96, 4), (128, 5))


def loss(N: float, D: float) -> float:
    """The surface: nats a token."""
    p = TRUTH
    return p["E"] + p["A"] * N ** -p["alpha"] + p["B"] * D ** -p["beta"]


def config(width: int, layers: int, budget: float) -> RunConfig:
    """A run of a shape that spends a budget."""
    model = ModelConfig(vocab=258, width=width, layers=layers, heads=2, mlp_width=4 * width, tied=True)
    tokens = budget / (6 * parameters(model)["total"])
    return RunConfig(
        model=model,
        data=DataConfig(tokens="ab" * 32, length=128, corpus="cpython"),
        optimizer=OptimizerConfig(lr=0.01),
        batch=8,
        steps=max(20, round(tokens / (8 * 128))),
        schedule=ScheduleConfig(warmup=5),
        eval=EvalConfig(every=50),
        budget=budget,
    )


def curve(run: RunConfig, final: float, random: np.random.Generator, rows: int) -> list[dict[str, float]]:
    """A falling curve that ends at `final`; held-out losses at four steps, the last included."""
    steps = np.unique(np.geomspace(1, run.steps, rows).round()).astype(int)
    tail = 4.0 * (steps / 3.0 + 1) ** -0.6
    loss_at = final + tail - tail[-1]
    evaluated = set(steps[[len(steps) // 4, len(steps) // 2, 3 * len(steps) // 4, -1]].tolist())
    return [
        {"step": int(s), "loss": float(v * (1 + 0.01 * random.standard_normal())), "lr": 0.01, "grad_norm": 1.0}
        | ({"val_loss": float(v)} if int(s) in evaluated else {})
        for s, v in zip(steps, loss_at, strict=True)
    ]


def build(root: Path, *, noise: float = 0.003, per_budget: int = 5, extras: bool = False, rows: int = 120) -> Store:
    """A store of budgets × sizes that are done; with `extras` also a failed, a running and a diverged run."""
    store, random = Store(root), np.random.default_rng(0)
    configs = []
    for place, budget in enumerate(BUDGETS):
        for width, layers in SHAPES[place // 2 : place // 2 + per_budget]:
            run = config(width, layers, budget)
            N = parameters(run.model)["total"]
            final = loss(N, run.tokens) * float(np.exp(noise * random.standard_normal()))
            configs.append(run)
            store.write(record(run, "done", final))
            store.finish_curve(run_id(run), curve(run, final, random, rows))
    if extras:
        for status, shape in (("failed", (20, 1)), ("running", (28, 2)), ("diverged", (40, 3)), ("stopped", (44, 3))):
            run = config(*shape, budget=1e12)
            configs.append(run)
            about = {"error": "out of memory <at step 3>"} if status == "failed" else {}
            store.write(record(run, status, None, **about))
            if status != "failed":
                lines = curve(run, 4.0, random, rows)[: rows // 2]
                (store.finish_curve if status == "diverged" else store.append_curve)(run_id(run), lines)
    store.write_sweep("quickstart", configs, [run_id(c) for c in configs])
    return store


def record(run: RunConfig, status: str, final: float | None, **about: str) -> Record:
    """A record as a run leaves it."""
    return Record(
        run_id=run_id(run),
        config=run,
        status=status,
        sweep="quickstart",
        params=parameters(run.model),
        flops=run_flops(run),
        final={} if final is None else {"loss": final, "step": run.steps, "tokens": run.tokens},
        about={
            "commit": "c0ffee" * 6 + "abcd",
            "device": "cpu",
            "jax": "0.10.2",
            "corpus": "cpython",
            "seconds": 12.5,
            **about,
        },
    )
