"""Trains a small model and a sparse autoencoder of one of its layers, and scores what the autoencoder keeps.

The scores are those of SAEBench's core evaluation, with intervals over the sequences of held-out text.
"""

import scaling
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig

STORE = "S"
tokens = scaling.prepare("cpython", STORE)
model = RunConfig(
    model=ModelConfig(vocab=tokens.vocab, width=32, layers=2, heads=2, mlp_width=96),
    data=DataConfig(tokens=tokens.content_hash, length=64),
    optimizer=OptimizerConfig(lr=0.01),
    schedule=ScheduleConfig(warmup=10),
    eval=EvalConfig(sequences=64),
    batch=16,
    steps=100,
)
scaling.train(model, STORE, progress=False)

fields = {"layer": 0, "site": "residual", "kind": "topk", "latents": 128, "l0": 8}
record = scaling.train(scaling.sae_run(model, fields, tokens=100_000, batch_tokens=2048), STORE, progress=False)
scores = scaling.evaluate_sae(record.run_id, STORE, tokens=8192)
for name in ("explained_variance", "ce_score", "kl_score", "dead"):
    score = scores[name]
    interval = "" if score.interval is None else "  [{:.3f}, {:.3f}]".format(*score.interval)
    print(f"{name:<20}{score.value:8.3f}{interval}")
