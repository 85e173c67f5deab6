"""Trains one small model on the source code of Python's standard library, and continues a text with it.

Run it again: the finished run is not trained twice. Interrupt it: the next start resumes.
"""

import scaling
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, Sampling, ScheduleConfig

STORE = "S"
tokens = scaling.prepare("cpython", STORE)
config = RunConfig(
    model=ModelConfig(vocab=tokens.vocab, width=32, layers=2, heads=4, mlp_width=96),
    data=DataConfig(tokens=tokens.content_hash, length=64),
    optimizer=OptimizerConfig(lr=0.006),
    schedule=ScheduleConfig(warmup=20),
    eval=EvalConfig(sequences=256),
    batch=16,
    steps=200,
)
print("parameters:", scaling.count(config).params["total"])
record = scaling.train(config, STORE)
print(record.status, "held-out loss", round(record.final["loss"], 3), "nats per token")
print("def " + scaling.generate(record.run_id, STORE, "def ", tokens=50, sampling=Sampling(temperature=0.8))[0])
