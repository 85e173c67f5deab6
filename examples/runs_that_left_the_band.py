"""Trains a small sweep with one mistake in it, and asks which run leaves the band of the learning curves.

The same of a sweep under way: python -m sweeps status NAME --store S.
"""

import dataclasses

import scaling
import sweeps
from scaling import DataConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig

STORE = "S"
tokens = scaling.prepare("markov:vocab=64,tokens=200000", STORE)
base = RunConfig(
    model=ModelConfig(vocab=tokens.vocab, width=16, layers=1, heads=2, mlp_width=32),
    data=DataConfig(tokens=tokens.content_hash, length=64),
    optimizer=OptimizerConfig(lr=0.01),
    schedule=ScheduleConfig(warmup=10),
    batch=8,
    steps=200,
)
runs = [dataclasses.replace(base, steps=steps) for steps in (200, 240, 280)]
mistake = dataclasses.replace(base, steps=260, optimizer=OptimizerConfig(lr=0.16))
sweep = sweeps.launch([*runs, mistake], store=STORE, name="lengths")

health = sweep.status().health
print(f"{health['compared']} of {len(runs) + 1} runs compared, {len(health['left_band'])} left the band")
for entry in health["left_band"]:
    print(f"{entry['run_id'][:12]} at step {entry['step']}, {entry['share']:.0%} of its tokens: {entry['reason']}")
