"""Estimate of the memory that a run needs on each of its devices, from its config and placement alone.

It counts parameters, gradients and optimizer state in float32, and the activations that the backward pass needs. The
compiler decides what a step really takes: `check --topology` compiles it. Measured against XLA's own figures for CPU,
the estimate is 1.07 to 1.42 times as large (widths 64 to 256).
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.counting.counts import total_parameters

FLOAT_BYTES = 4
# Floats per parameter: the parameter, its gradient, and the optimizer's moments.
STATE_FLOATS = {"adamw": 4, "lion": 3, "adafactor": 2, "muon": 3}
# Floats of activations per token and layer, times the width and times heads and positions, as measured for CPU by
# scaling/program/cpu_memory.py; accelerators store activations in bfloat16 and no attention scores.
FLOATS_PER_WIDTH, FLOATS_PER_HEAD = 30, 3
LOGIT_BYTES = 64 * 2**20  # most float32 logits at a time (scaling/models/loss.py); they exist with their gradient
SPARE_SHARE = 0.1  # share of a device's memory that a run should leave free, for the estimate's error


@dataclass(frozen=True)
class Devices:
    """The devices of one run.

    Attributes:
        count: Number of devices.
        accelerator: Whether they are accelerators.
        memory: Bytes of each; None: unknown.
    """

    count: int
    accelerator: bool
    memory: int | None


def mesh_devices(placement: Placement) -> int:
    """Returns the fewest devices of a placement."""
    return max(1, placement.data) * placement.fsdp * placement.tensor * placement.expert


def data_devices(placement: Placement, devices: int) -> int:
    """Returns the devices over which the sequences of a step are divided.

    Args:
        placement: How the run is laid out; without a size of its data axis, that axis takes all that remain.
        devices: Devices of the run.
    """
    inner = placement.fsdp * placement.tensor * placement.expert
    data = placement.data or max(1, devices // inner)
    return data * placement.fsdp * placement.expert


def device_bytes(config: RunConfig, placement: Placement, devices: Devices) -> int:
    """Estimates the bytes that a run needs on each device.

    Args:
        config: The run.
        placement: How it is laid out on the devices.
        devices: The devices.
    """
    model, shards = config.model, placement.fsdp * placement.tensor * placement.expert
    state = FLOAT_BYTES * STATE_FLOATS[config.optimizer.name] * total_parameters(model) / shards
    sequences = placement.microbatch or config.batch
    rows = max(1, sequences / data_devices(placement, devices.count))
    half = devices.accelerator and config.precision != "float32"
    scores = 0 if devices.accelerator else FLOATS_PER_HEAD * model.heads * config.data.length
    per_layer = (FLOATS_PER_WIDTH * model.width + scores) / placement.tensor
    layers = sum(model.depths)
    # With remat the inputs of each layer are kept, and the rest of one layer at a time; XLA for CPU gains nothing.
    remat = devices.accelerator and placement.remat == "full"
    per_token = per_layer + model.width * layers if remat else per_layer * layers
    activations = rows * config.data.length * per_token * (FLOAT_BYTES / 2 if half else FLOAT_BYTES)
    logits = 2 * min(LOGIT_BYTES, rows * config.data.length * model.vocab * FLOAT_BYTES)
    return round(state + activations + logits)
