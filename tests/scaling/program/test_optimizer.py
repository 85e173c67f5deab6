"""The update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override
from scaling.program import optimizer
from scaling.program.build import build_program


def test_clipping_bounds_the_norm_and_leaves_small_gradients_alone() -> None:
    grads = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    clipped, norm = optimizer.clip_by_global_norm(grads, 1.0)
    assert float(norm) == pytest.approx(5)
    np.testing.assert_allclose(clipped["a"], [0.6, 0])
    for limit in (0.0, 10.0):
        np.testing.assert_array_equal(optimizer.clip_by_global_norm(grads, limit)[0]["b"], grads["b"])


def test_decay_pulls_on_matrices_and_not_on_gains(tiny: RunConfig) -> None:
    params = {"norm": {"g_D": jnp.ones(3)}, "head_DV": jnp.ones((3, 2))}
    transform = optimizer.make_optimizer(tiny.optimizer)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transform.update(zero, transform.init(params), params)
    np.testing.assert_array_equal(updates["norm"]["g_D"], 0)
    np.testing.assert_allclose(updates["head_DV"], tiny.optimizer.weight_decay)


def test_z_loss_moves_the_update_and_not_the_loss_that_is_recorded(tiny: RunConfig) -> None:
    tokens = np.random.default_rng(0).integers(0, 257, (tiny.batch, tiny.data.length + 1)).astype(np.int32)
    results = []
    for weight in (0.0, 1.0):
        compiled, _ = build_program(override(tiny, [f"optimizer.z_loss={weight}"]), Placement(data=1))
        _, metrics = compiled.step(compiled.init(0), jax.device_put(tokens, compiled.batch_sharding), np.float32(0.01))
        results.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-6) and abs(results[0][1] - results[1][1]) > 0.01
