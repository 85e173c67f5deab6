"""Trains one small model and shows where the wall time went, how fast it was, and the memory it used.

The same figures of a whole sweep: python -m sweeps status NAME --store S.
"""

import scaling
from scaling import DataConfig, ModelConfig, OptimizerConfig, RunConfig

STORE = "S"
tokens = scaling.prepare("markov:vocab=64,tokens=200000", STORE)
config = RunConfig(
    model=ModelConfig(vocab=tokens.vocab, width=32, layers=2, heads=4, mlp_width=96),
    data=DataConfig(tokens=tokens.content_hash, length=64),
    optimizer=OptimizerConfig(lr=0.006),
    batch=16,
    steps=100,
)
about = scaling.train(config, STORE, progress=False).about
wall = about["timing"].pop("wall")
for part, seconds in about["timing"].items():
    print(f"{part:<12}{seconds:8.2f} s {seconds / wall:7.1%}")
print(f"goodput {about['goodput']:.1%} of {wall:.1f} s in {about['attempts']} process")
print(f"MFU {about['mfu']:.1%} of the {about['peak_source']} {about['peak_flops_per_second'] / 1e9:,.0f} GFLOP/s")
print(f"peak memory of the {about['memory_peak_of']}: {about['memory_peak_bytes'] / 2**20:,.0f} MiB")
