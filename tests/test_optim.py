"""Laws of the schedules and of the update."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling import optim
from scaling.config import Placement, RunConfig, ScheduleConfig, override
from scaling.optim import learning_rate
from scaling.program import program


def rates(config: RunConfig) -> list[float]:
    return [learning_rate(config, step) for step in range(config.steps)]


def test_warm_up_climbs_in_equal_steps_to_the_peak(tiny: RunConfig) -> None:
    first = rates(tiny)[:5]
    np.testing.assert_allclose(first, [0.0025, 0.005, 0.0075, 0.01, 0.01])


@pytest.mark.parametrize(("shape", "halfway"), [("linear", 0.5), ("1-sqrt", 1 - math.sqrt(0.5))])
def test_wsd_is_flat_then_decays_over_its_share_to_its_floor(tiny: RunConfig, shape: str, halfway: float) -> None:
    schedule = ScheduleConfig(warmup=10, decay=0.2, decay_shape=shape, floor=0.1)
    config = dataclasses.replace(tiny, steps=1000, schedule=schedule)
    at = rates(config)
    assert set(at[10:801]) == {0.01} and at[801] < 0.01
    assert at[900] == pytest.approx(0.01 * (0.1 + 0.9 * halfway))
    assert all(b < a for a, b in itertools.pairwise(at[800:]))
    assert 0.001 < at[999] < 0.00106


def test_cosine_is_half_a_period_from_peak_to_floor(tiny: RunConfig) -> None:
    schedule = ScheduleConfig(name="cosine", warmup=10, floor=0.1)
    at = rates(dataclasses.replace(tiny, steps=1010, schedule=schedule))
    assert at[10] == 0.01 and at[510] == pytest.approx(0.0055) and 0.001 <= at[1009] < 0.00101


def test_constant_stays(tiny: RunConfig) -> None:
    at = rates(dataclasses.replace(tiny, schedule=ScheduleConfig(name="constant", warmup=2)))
    assert at[0] == 0.005 and set(at[1:]) == {0.01}


def test_clipping_bounds_the_norm_and_leaves_small_gradients_alone() -> None:
    grads = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    clipped, norm = optim.clip(grads, 1.0)
    assert float(norm) == pytest.approx(5)
    np.testing.assert_allclose(clipped["a"], [0.6, 0])
    for limit in (0.0, 10.0):
        np.testing.assert_array_equal(optim.clip(grads, limit)[0]["b"], grads["b"])


def test_decay_pulls_on_matrices_and_not_on_gains(tiny: RunConfig) -> None:
    params = {"norm": {"g_D": jnp.ones(3)}, "head_DV": jnp.ones((3, 2))}
    transform = optim.optimizer(tiny.optimizer)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transform.update(zero, transform.init(params), params)
    np.testing.assert_array_equal(updates["norm"]["g_D"], 0)
    np.testing.assert_allclose(updates["head_DV"], tiny.optimizer.weight_decay)


def test_z_loss_moves_the_update_and_not_the_loss_that_is_recorded(tiny: RunConfig) -> None:
    tokens = np.random.default_rng(0).integers(0, 257, (tiny.batch, tiny.data.length + 1)).astype(np.int32)
    seen = []
    for weight in (0.0, 1.0):
        compiled, _ = program(override(tiny, [f"optimizer.z_loss={weight}"]), Placement(data=1))
        _, metrics = compiled.step(compiled.init(0), jax.device_put(tokens, compiled.batch_sharding), np.float32(0.01))
        seen.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    assert seen[0][0] == pytest.approx(seen[1][0], abs=1e-6) and abs(seen[0][1] - seen[1][1]) > 0.01
