"""Whatever kernel computes attention, the numbers are attention's."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import override
from scaling.config.validation import ConfigError, from_dict
from scaling.distributed import sharding
from scaling.models.attention import kernels
from scaling.models.attention.softmax import ScoreConfig

PLAIN = ScoreConfig(0.3)
WAYS = {
    "plain": PLAIN,
    "window": replace(PLAIN, window=37),
    "softcap": replace(PLAIN, softcap=1.5),
    "alibi": replace(PLAIN, slopes=(0.5, 0.1, 0.02, 0.5, 0.1, 0.02)),
    "documents": PLAIN,
    "all, documents": ScoreConfig(0.3, 37, 2.0, (0.5, 0.1, 0.02, 0.5, 0.1, 0.02)),
}


def random_inputs(length: int, batch: int = 2):
    """Queries (three a key-value head), keys, values, documents, and a gradient of the result."""
    draws = np.random.default_rng(0)
    q, d = (draws.standard_normal((batch, 2, 3, length, 8), np.float32) for _ in range(2))
    k, v = (draws.standard_normal((batch, 2, length, 8), np.float32) for _ in range(2))
    return q, k, v, np.sort(draws.integers(0, 4, (batch, length)), axis=1).astype(np.int32), d


def computed(kernel, sampling, documents: bool, length: int, batch: int = 2):
    """Result and gradients of q, k, v."""
    q, k, v, segments, d = random_inputs(length, batch)

    def both(q, k, v, d):
        out, pull = jax.vjp(lambda *x: kernel(*x, sampling, jnp.asarray(segments) if documents else None), q, k, v)
        return out, pull(d)

    return jax.jit(both)(q, k, v, d)


def alike(first, other) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), first, other)


@pytest.mark.parametrize("way", WAYS)
def test_xla_and_blocks_agree(way: str) -> None:
    ask = WAYS[way], "documents" in way, 40
    alike(*(computed(lambda *x, n=name: kernels.attend(*x, n), *ask) for name in ("blockwise", "xla")))


@pytest.mark.parametrize("way", ["plain", "window", "softcap", "documents"])
def test_the_tpus_kernel_agrees(way: str) -> None:
    ask = WAYS[way], "documents" in way, 128
    assert kernels.supported_kernel("splash", ask[0], 128, 8, "float32") == "splash"
    alike(
        computed(kernels.attend_blockwise, *ask), computed(lambda *x: kernels.attend_splash(*x, interpret=True), *ask)
    )


def test_the_tpus_kernel_agrees_on_a_mesh() -> None:
    ask = PLAIN, True, 128, 4
    on_one_device = computed(kernels.attend_blockwise, *ask)
    with jax.set_mesh(sharding.make_mesh(Placement(data=2, fsdp=2, tensor=2))):
        on_mesh = computed(lambda *x: kernels.attend_splash(*x, interpret=True), *ask)
    alike(on_one_device, on_mesh)


def test_what_a_kernel_does_not_know_goes_to_xla() -> None:
    half = jnp.bfloat16
    assert kernels.supported_kernel("cudnn", PLAIN, 64, 64, half) == "cudnn"
    for case, length, head, kind in (
        (PLAIN, 64, 64, jnp.float32), (PLAIN, 63, 64, half), (PLAIN, 64, 60, half), (PLAIN, 64, 512, half),
        (WAYS["softcap"], 64, 64, half),
    ):  # fmt: skip
        assert kernels.supported_kernel("cudnn", case, length, head, kind) == "xla"
    assert kernels.supported_kernel("splash", PLAIN, 100, 64, half) == "xla"
    assert kernels.supported_kernel("splash", WAYS["alibi"], 128, 64, half) == "xla"
    assert [kernels.select_kernel("auto", p) for p in ("cpu", "gpu", "tpu", "other")] == [
        "blockwise",
        "cudnn",
        "splash",
        "xla",
    ]


def test_a_kernel_that_the_machine_has_not_is_said() -> None:
    with pytest.raises(ConfigError, match="'cudnn': on cpu, must be one of auto, blockwise, xla"):
        kernels.select_kernel("cudnn", "cpu")
    with pytest.raises(ConfigError, match=r"Placement.attention = 'flash': must be one of auto, xla"):
        Placement(attention="flash")


def test_placements_written_before_policies_still_read() -> None:
    assert from_dict(Placement, {"remat": True}).remat == override(Placement(), ["remat=true"]).remat == "full"
    assert from_dict(Placement, {"remat": False}) == override(Placement(), ["remat=false"]) == Placement()
    with pytest.raises(ConfigError, match=r"Placement.remat = 'some': must be one of none, dots, full"):
        Placement(remat="some")
