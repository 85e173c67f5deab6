"""Peak rates of dense matrix products by kind of device and type of the operands. Standard library only.

Rates are published ones of a chip, without sparsity: NVIDIA's data sheets give rates with 2:4 sparsity, which are
halved here. `float32` is the rate at which JAX multiplies float32 by default (`jax.lax.Precision.DEFAULT`): one pass in
bfloat16 on a TPU, TF32 on these GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """A kind of chip.

    Attributes:
        rates: Peak FLOP/s of a chip by type of the operands.
        source: Title of the vendor's page with these rates.
        kinds: `device_kind` of JAX's devices of this chip; of a GPU its beginning.
        devices: JAX devices per chip: 2 where each TensorCore is a device.
    """

    rates: Mapping[str, float]
    source: str
    kinds: tuple[str, ...]
    devices: int = 1


def _tpu(flops: float, source: str, *kinds: str, devices: int = 1, float8: float = 0.0) -> Accelerator:
    rates = {"bfloat16": flops, "float32": flops} | ({"float8": float8} if float8 else {})
    return Accelerator(rates, f"Google Cloud TPU documentation, {source}", kinds, devices)


def _gpu(bfloat16: float, tf32: float, source: str, kind: str, float8: float = 0.0) -> Accelerator:
    rates = {"bfloat16": bfloat16, "float16": bfloat16, "float32": tf32} | ({"float8": float8} if float8 else {})
    return Accelerator(rates, f"NVIDIA, {source}", (kind,))


ACCELERATORS: dict[str, Accelerator] = {
    "v2": _tpu(45e12, "TPU v2: peak compute per chip", "TPU v2", devices=2),
    "v3": _tpu(123e12, "TPU v3: peak compute per chip", "TPU v3", devices=2),
    "v4": _tpu(275e12, "TPU v4: peak compute per chip", "TPU v4"),
    "v5e": _tpu(197e12, "TPU v5e: peak compute per chip (bf16)", "TPU v5 lite", "TPU v5e"),
    "v5p": _tpu(459e12, "TPU v5p: peak compute per chip (bf16)", "TPU v5", "TPU v5p"),
    "v6e": _tpu(918e12, "TPU v6e: peak compute per chip (bf16)", "TPU v6 lite", "TPU v6e"),
    "7x": _tpu(2307e12, "TPU7x (Ironwood): peak compute per chip (BF16)", "TPU7x", devices=2, float8=4614e12),
    "a100": _gpu(312e12, 156e12, "A100 Tensor Core GPU data sheet", "NVIDIA A100"),
    "h100-pcie": _gpu(1513e12 / 2, 756e12 / 2, "H100 Tensor Core GPU data sheet, PCIe", "NVIDIA H100 PCIe", 1513e12),
    "h100-nvl": _gpu(1671e12 / 2, 835e12 / 2, "H100 Tensor Core GPU data sheet, NVL", "NVIDIA H100 NVL", 3341e12 / 2),
    "h100": _gpu(1979e12 / 2, 989e12 / 2, "H100 Tensor Core GPU data sheet, SXM", "NVIDIA H100", 3958e12 / 2),
    "h200-nvl": _gpu(1671e12 / 2, 836e12 / 2, "H200 Tensor Core GPU data sheet, NVL", "NVIDIA H200 NVL", 3341e12 / 2),
    "h200": _gpu(1979e12 / 2, 989e12 / 2, "H200 Tensor Core GPU data sheet, SXM", "NVIDIA H200", 3958e12 / 2),
    "b200": _gpu(4500e12 / 2, 2200e12 / 2, "HGX B200 specifications, per GPU", "NVIDIA B200", 9000e12 / 2),
}  # fmt: skip


def accelerator_of_kind(device_kind: str) -> Accelerator | None:
    """Returns the kind of chip of a device, None for one that is not in the table.

    Args:
        device_kind: `device_kind` of the JAX device, such as "TPU v5 lite" or "NVIDIA H100 80GB HBM3".
    """
    matches = [
        (len(kind), accelerator)
        for accelerator in ACCELERATORS.values()
        for kind in accelerator.kinds
        if device_kind == kind or (kind.startswith("NVIDIA") and device_kind.startswith((f"{kind} ", f"{kind}-")))
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def device_peak_flops(device_kind: str, dtype: str) -> float | None:
    """Returns the peak FLOP/s of one JAX device, None if it is not known.

    Args:
        device_kind: `device_kind` of the JAX device.
        dtype: Type of the operands of matrix products, such as "bfloat16".
    """
    accelerator = accelerator_of_kind(device_kind)
    if accelerator is None or dtype not in accelerator.rates:
        return None
    return accelerator.rates[dtype] / accelerator.devices
