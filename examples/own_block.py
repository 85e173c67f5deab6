"""Trains the same model with the package's MLP and with one of your own, and compares the losses.

The content of this file is part of the run's id, so that a changed block is another run.
"""

import jax
from flax import nnx

import scaling
from scaling import DataConfig, EvalConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig


class SquaredReLU(nnx.Module):
    """MLP with a squared ReLU, (B, L, D) to (B, L, D)."""

    def __init__(self, config, *, rngs):
        """Makes the two matrices from the sizes of the config."""
        self.up = nnx.Linear(config.width, config.mlp_width, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(config.mlp_width, config.width, use_bias=False, rngs=rngs)

    def __call__(self, x_BLD):
        """Returns the output, in the type of the input."""
        return self.down(jax.nn.relu(self.up(x_BLD)) ** 2).astype(x_BLD.dtype)


if __name__ == "__main__":
    tokens = scaling.prepare("cpython", "S")
    for mlp in ("gelu", "own_block.py:SquaredReLU"):
        config = RunConfig(
            model=ModelConfig(vocab=tokens.vocab, width=32, layers=2, heads=4, mlp_width=128, mlp=mlp),
            data=DataConfig(tokens=tokens.content_hash, length=64),
            optimizer=OptimizerConfig(lr=0.006),
            schedule=ScheduleConfig(warmup=20),
            eval=EvalConfig(sequences=256),
            batch=16, steps=100,
        )  # fmt: skip
        record = scaling.train(config, "S", code=[__file__], progress=False)
        print(mlp, record.run_id[:12], record.params["total"], "parameters, loss", round(record.final["loss"], 3))
