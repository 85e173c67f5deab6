"""Reads a store as pandas DataFrames: one row per run, and one row per logged step.

Two small runs are trained first; replace S by a store of your own.
"""

import scaling
from analysis import ReadOptions, curves, table
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig

STORE = "S"
tokens = scaling.prepare("cpython", STORE)
for steps in (50, 100):
    config = RunConfig(
        model=ModelConfig(vocab=tokens.vocab, width=16, layers=2, heads=2, mlp_width=48),
        data=DataConfig(tokens=tokens.content_hash, length=64),
        optimizer=OptimizerConfig(lr=0.01),
        schedule=ScheduleConfig(warmup=10),
        eval=EvalConfig(every=25, sequences=128),
        batch=16,
        steps=steps,
    )
    scaling.train(config, STORE, progress=False)

runs = table(STORE, ReadOptions(flops="exact"))  # C counts attention too; the default is 6·N·D
print(runs[["run_id", "N", "D", "C", "loss", "optimizer.lr", "seconds"]].to_string(index=False))

steps = curves(STORE)
held_out = steps.dropna(subset=["val_loss"])
print(held_out[["run_id", "step", "D", "loss", "val_loss"]].to_string(index=False))
print("lowest held-out loss of each run:", held_out.groupby("run_id")["val_loss"].min().round(3).tolist())
