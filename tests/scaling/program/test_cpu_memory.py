"""Scratch memory of a CPU step: a block holds the largest buffer, so that XLA logs nothing; or there is one block."""

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.program.cpu_memory import HEAP_BYTES, MAX_RETAINED_BYTES, compile_step, largest_tensor_bytes
from tests.support.commands import ROOT

LARGE = """
import sys
import numpy as np, jax.numpy as jnp
from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.counting.counts import parameters
from scaling.program.build import build_program
width, layers = map(int, sys.argv[1:])
model = ModelConfig(vocab=257, width=width, layers=layers, heads=width // 64, mlp_width=width * 8 // 3)
data, optimizer = DataConfig(tokens="a" * 64, length=128), OptimizerConfig(lr=1e-3)
config = RunConfig(model=model, data=data, optimizer=optimizer, batch=8, steps=10)
program, _ = build_program(config, Placement(compile_cache=False))
state = program.init(0)
tokens = np.zeros((8, config.data.layout.columns), np.int32)
if program.block > 1:
    raise SystemExit("one step per dispatch is expected at this size")
_, metrics = program.step(state, tokens, jnp.float32(1e-3))
print(parameters(model)["total"], float(metrics["loss"]))
"""


class RecordedProgram:
    """Stands for a lowered program with a largest tensor of this size; records the options that it is compiled with."""

    def __init__(self, floats: int) -> None:
        self.text, self.options = f"tensor<{floats}xf32>", {}

    def as_text(self) -> str:
        return self.text

    def compile(self, compiler_options: dict[str, Any] | None = None) -> dict[str, Any]:
        return compiler_options or {}


def test_the_largest_tensor_of_a_program_is_found() -> None:
    assert largest_tensor_bytes("tensor<8x128xbf16> tensor<3x700xi1> tensor<f32> tensor<2x128xui32>") == 3 * 700
    assert largest_tensor_bytes("") == 0
    lowered = jax.jit(lambda x: (jnp.outer(x, x) @ x).astype(jnp.bfloat16)).lower(np.zeros(300, np.float32))
    assert largest_tensor_bytes(lowered.as_text()) == 300 * 300 * 4


@pytest.mark.parametrize(
    ("floats", "block"),
    [
        (10, HEAP_BYTES),
        (HEAP_BYTES, 4 * HEAP_BYTES),
        (MAX_RETAINED_BYTES // 4, MAX_RETAINED_BYTES),
        (MAX_RETAINED_BYTES, 0),
    ],
)
def test_a_block_holds_the_largest_buffer_up_to_what_is_retained(floats: int, block: int) -> None:
    lowered = RecordedProgram(floats)
    options = {"xla_multiheap_size_constraint_per_heap": block} if block else {}
    assert compile_step(lowered, MAX_RETAINED_BYTES + 1) == options and compile_step(lowered, 10) == {}


@pytest.mark.long
@pytest.mark.parametrize(("width", "layers"), [(320, 8), (768, 14)])
def test_a_python_caller_meets_no_log_lines_of_xla(width: int, layers: int) -> None:
    """At 10M and 100M parameters, without a log level set before the import of JAX."""
    env = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS")}
    line = [sys.executable, "-c", LARGE, str(width), str(layers)]
    done = subprocess.run(line, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-3000:]
    assert int(done.stdout.split()[0]) > 0.9 * 12 * layers * width**2
