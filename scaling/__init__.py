"""Trains one run of a language model: a config in, a record out. `python -m scaling` lists the commands.

In a notebook or script:

    import scaling
    from scaling import DataConfig, ModelConfig, OptimizerConfig, RunConfig

    tokens = scaling.prepare("cpython", "S")
    config = RunConfig(
        model=ModelConfig(vocab=tokens.vocab, width=64, layers=2, heads=4, mlp_width=176),
        data=DataConfig(tokens=tokens.content_hash, length=128),
        optimizer=OptimizerConfig(lr=0.004), batch=8, steps=1000,
    )
    scaling.count(config).params["total"]
    record = scaling.train(config, "S")
    record.status, record.final["loss"]
    scaling.evaluate(record.run_id, "S", ["perplexity"])
    scaling.generate(record.run_id, "S", "def f(")

`open_store` reads the records of a store. Bad input raises `ConfigError`, `CorpusError` or `StoreError`, with one line
that says what is allowed. All names are imported on first use, so that `--help` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.commands.interface.count import Counts, count
    from scaling.commands.interface.evaluate import evaluate
    from scaling.commands.interface.generate import generate
    from scaling.commands.interface.huggingface import export_model, import_model, init_from
    from scaling.commands.interface.prepare import prepare
    from scaling.commands.interface.sae import evaluate_sae, export_sae, import_sae
    from scaling.commands.interface.train import train
    from scaling.config.model import ModelConfig
    from scaling.config.objective import DataConfig
    from scaling.config.optimizer import OptimizerConfig
    from scaling.config.placement import Placement
    from scaling.config.run import EvalConfig, RunConfig
    from scaling.config.schedule import ScheduleConfig
    from scaling.config.validation import ConfigError
    from scaling.data.corpus import TextCorpus, TokenCorpus
    from scaling.data.prepare.options import PrepareOptions
    from scaling.data.tasks.family import Item
    from scaling.data.tokens import CorpusError, TokenFile
    from scaling.evaluation.config import EvaluationOptions
    from scaling.inference.options import Sampling
    from scaling.store.files import StoreError
    from scaling.store.open import open_store
    from scaling.store.record import Record, Store
    from scaling.store.sae_runs import sae_run

_MODULES = {
    "ConfigError": "scaling.config.validation",
    "CorpusError": "scaling.data.tokens",
    "Counts": "scaling.commands.interface.count",
    "DataConfig": "scaling.config.objective",
    "EvalConfig": "scaling.config.run",
    "EvaluationOptions": "scaling.evaluation.config",
    "Item": "scaling.data.tasks.family",
    "ModelConfig": "scaling.config.model",
    "OptimizerConfig": "scaling.config.optimizer",
    "Placement": "scaling.config.placement",
    "PrepareOptions": "scaling.data.prepare.options",
    "Record": "scaling.store.record",
    "RunConfig": "scaling.config.run",
    "Sampling": "scaling.inference.options",
    "ScheduleConfig": "scaling.config.schedule",
    "Store": "scaling.store.record",
    "StoreError": "scaling.store.files",
    "TextCorpus": "scaling.data.corpus",
    "TokenCorpus": "scaling.data.corpus",
    "TokenFile": "scaling.data.tokens",
    "count": "scaling.commands.interface.count",
    "evaluate": "scaling.commands.interface.evaluate",
    "evaluate_sae": "scaling.commands.interface.sae",
    "export_model": "scaling.commands.interface.huggingface",
    "export_sae": "scaling.commands.interface.sae",
    "generate": "scaling.commands.interface.generate",
    "import_model": "scaling.commands.interface.huggingface",
    "import_sae": "scaling.commands.interface.sae",
    "init_from": "scaling.commands.interface.huggingface",
    "open_store": "scaling.store.open",
    "prepare": "scaling.commands.interface.prepare",
    "sae_run": "scaling.store.sae_runs",
    "train": "scaling.commands.interface.train",
}
__all__ = [
    "ConfigError", "CorpusError", "Counts", "DataConfig", "EvalConfig", "EvaluationOptions", "Item", "ModelConfig",
    "OptimizerConfig", "Placement", "PrepareOptions", "Record", "RunConfig", "Sampling", "ScheduleConfig", "Store",
    "StoreError", "TextCorpus", "TokenCorpus", "TokenFile", "count", "evaluate", "evaluate_sae",
    "export_model", "export_sae", "generate", "import_model", "import_sae", "init_from", "open_store", "prepare",
    "sae_run", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'scaling' has no attribute {name!r}")
