"""Peak rates: those that vendors publish, found by the names under which JAX lists the devices."""

import pytest

from scaling.counting.peak_flops import ACCELERATORS, accelerator_of_kind, device_peak_flops
from scaling.counting.tpu import GENERATIONS


@pytest.mark.parametrize(
    ("kind", "dtype", "teraflops"),
    [
        ("TPU v2", "bfloat16", 45 / 2),  # of a core, which is a device
        ("TPU v3", "bfloat16", 123 / 2),
        ("TPU v4", "bfloat16", 275),
        ("TPU v5 lite", "bfloat16", 197),
        ("TPU v5 lite", "float32", 197),  # one pass in bfloat16
        ("TPU v5", "bfloat16", 459),
        ("TPU v5p", "bfloat16", 459),
        ("TPU v6 lite", "bfloat16", 918),
        ("TPU7x", "bfloat16", 2307 / 2),
        ("NVIDIA A100-SXM4-40GB", "bfloat16", 312),
        ("NVIDIA A100 80GB PCIe", "float32", 156),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.5),
        ("NVIDIA H100 PCIe", "bfloat16", 756.5),
        ("NVIDIA H100 NVL", "bfloat16", 835.5),
        ("NVIDIA H200", "bfloat16", 989.5),
        ("NVIDIA B200", "float32", 1100),
        ("NVIDIA B2000", "bfloat16", None),
        ("NVIDIA H100", "int4", None),
        ("TPU v9", "bfloat16", None),
        ("cpu", "float32", None),
    ],
)
def test_a_device_has_the_published_rate_or_none(kind: str, dtype: str, teraflops: float | None) -> None:
    assert device_peak_flops(kind, dtype) == (None if teraflops is None else teraflops * 1e12)


def test_every_rate_has_a_source_and_every_kind_of_device_one_chip() -> None:
    kinds = [kind for accelerator in ACCELERATORS.values() for kind in accelerator.kinds]
    assert len(kinds) == len(set(kinds)) and set(GENERATIONS) < set(ACCELERATORS)
    for accelerator in ACCELERATORS.values():
        assert len(accelerator.source) > 20 and all(
            accelerator_of_kind(kind) is accelerator for kind in accelerator.kinds
        )
        assert accelerator.rates["float32"] <= accelerator.rates["bfloat16"]
