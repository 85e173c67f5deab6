"""Records of runs that were never trained."""

from __future__ import annotations

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, run_id
from scaling.counting.counts import parameters, run_flops
from scaling.store.record import Record, Store


def config(width: int, steps: int, budget: float | None = None, seed: int = 0) -> RunConfig:
    return RunConfig(
        model=ModelConfig(vocab=256, width=width, layers=2, heads=4, mlp_width=4 * width),
        data=DataConfig(tokens="a" * 64, length=128),
        optimizer=OptimizerConfig(lr=1e-3),
        batch=8,
        steps=steps,
        budget=budget,
        seed=seed,
    )


def record_of(subject: RunConfig, status: str = "done", loss: float | None = 2.0) -> Record:
    return Record(
        run_id=run_id(subject),
        config=subject,
        status=status,
        sweep="small",
        params=parameters(subject.model),
        flops=run_flops(subject),
        final={} if loss is None else {"loss": loss, "step": subject.steps, "tokens": subject.tokens},
    )


def add_record(store: Store, subject: RunConfig, status: str = "done", loss: float | None = 2.0) -> Record:
    record = record_of(subject, status, loss)
    store.write(record)
    return record
