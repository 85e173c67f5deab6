"""Sparse autoencoders as functions: gradients of the paper, exact sparsity, folding of the scale, initial values."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.sae import SAE_KINDS, SaeConfig
from scaling.config.validation import ConfigError
from scaling.models.sae.functions import decode, encode, fold_scale, jumprelu, pre_activations, step
from scaling.models.sae.initial import geometric_median, initial_params
from scaling.models.sae.objective import objective
from scaling.models.sae.selection import batch_threshold, keep_largest

BANDWIDTH = 0.2


def sample(rows: int = 300, width: int = 12, seed: int = 0) -> jax.Array:
    """Activations with a mean and a scale far from 1."""
    draws = np.random.default_rng(seed)
    return jnp.asarray(7 * draws.standard_normal((rows, width)) + draws.standard_normal(width) * 9, jnp.float32)


def autoencoder(kind: str, **fields: object) -> SaeConfig:
    return SaeConfig(**{"kind": kind, "latents": 40, "layer": 0, "l0": 5, **fields})  # type: ignore[arg-type]


def test_gradients_of_jumprelu_and_of_l0_are_those_of_the_paper() -> None:
    """Rajamanoharan 2024, equations 11 and 12, on pre-activations below, within and above the kernel."""
    threshold = np.array([0.3, 0.5, 0.05], np.float32)
    z = np.array([[0.1, 0.45, 0.07], [0.35, 0.55, -0.2], [0.9, 0.61, 0.2]], np.float32)
    weight = np.random.default_rng(0).standard_normal(z.shape).astype(np.float32)
    inside = np.abs(z - threshold) < BANDWIDTH / 2
    assert inside.any() and not inside.all()

    def weighted(function):
        return jax.grad(lambda z, t: jnp.sum(weight * function(z, t, BANDWIDTH)), argnums=(0, 1))(z, threshold)

    to_z, to_threshold = weighted(jumprelu)
    np.testing.assert_allclose(to_z, weight * (z > threshold), rtol=1e-6)
    np.testing.assert_allclose(to_threshold, -(threshold / BANDWIDTH * inside * weight).sum(0), rtol=1e-5)
    to_z, to_threshold = weighted(step)
    np.testing.assert_array_equal(to_z, 0)
    np.testing.assert_allclose(to_threshold, -(inside * weight).sum(0) / BANDWIDTH, rtol=1e-5)


def test_topk_keeps_exactly_the_k_largest_latents_of_each_token() -> None:
    z = jnp.asarray(np.random.default_rng(1).random((50, 30)), jnp.float32)
    kept = np.asarray(keep_largest(z, 7))
    assert ((kept > 0).sum(1) == 7).all()
    for row, full in zip(kept, np.asarray(z), strict=True):
        np.testing.assert_array_equal(np.sort(row)[-7:], np.sort(full)[-7:])


@pytest.mark.parametrize("start", [0.0, 0.9, 1e-3])
def test_the_threshold_of_a_batch_leaves_l0_latents_per_token_wherever_the_search_starts(start: float) -> None:
    z = jax.nn.relu(jnp.asarray(np.random.default_rng(2).standard_normal((400, 60)), jnp.float32))
    threshold = batch_threshold(z, 3.0, jnp.float32(start))
    assert abs(float((z > threshold).sum()) / 400 - 3) < 0.01


@pytest.mark.parametrize("kind", SAE_KINDS)
def test_an_autoencoder_with_its_scale_folded_in_computes_the_same(kind: str) -> None:
    """Every bias counts: each is given a value far from 0."""
    x, config = sample(), autoencoder(kind)
    params = initial_params(config, jnp.uint32(0), x)
    draws = np.random.default_rng(3)
    params |= {
        name: params[name] + 0.1 * draws.standard_normal(params[name].shape, np.float32) for name in ("b_enc", "b_dec")
    }
    scale = params["scale"]
    f = encode(params, kind, x * scale, config.l0)
    folded = fold_scale(params)
    g = encode(folded, kind, x, config.l0)
    np.testing.assert_allclose(g * scale, f, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(decode(folded, g) * scale, decode(params, f), rtol=1e-4, atol=1e-5)
    assert float(folded["scale"]) == 1 and 0 < float((f > 0).mean()) < 1


@pytest.mark.parametrize("kind", SAE_KINDS)
def test_an_autoencoder_starts_better_than_the_mean_and_sparse(kind: str) -> None:
    x, config = sample(), autoencoder(kind)
    params = initial_params(config, jnp.uint32(0), x)
    np.testing.assert_allclose(jnp.linalg.norm(params["W_dec"], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(jnp.mean(jnp.sum((x * params["scale"]) ** 2, -1)), 1, rtol=1e-5)
    directions = params["W_enc"].T / params["W_dec"]
    np.testing.assert_allclose(directions, directions[0, 0], rtol=1e-4)  # tied, but for one factor
    _, measures = objective(config, params, x * params["scale"], jnp.zeros(40, bool), jnp.float32(0))
    assert float(measures.loss) < 1.0 and float(measures.l0) <= 2.1 * config.l0


def test_the_geometric_median_resists_outliers() -> None:
    points = np.random.default_rng(4).standard_normal((400, 5)).astype(np.float32)
    points[:80] += 1000
    assert np.linalg.norm(geometric_median(jnp.asarray(points))) < 1
    assert np.linalg.norm(points.mean(0)) > 300


def test_the_auxiliary_loss_reaches_dead_latents_alone() -> None:
    """A latent that no token selects has no gradient; once it is dead it has one, and the living ones have the same."""
    x, config = sample(), autoencoder("topk", l0=2, auxiliary=1.0)
    params = initial_params(config, jnp.uint32(0), x)
    params["W_enc"] = params["W_enc"].at[:, 0].mul(1e-4)  # positive for half of the tokens, never among the largest
    x = x * params["scale"]

    def gradient(dead: jax.Array) -> np.ndarray:
        return np.asarray(jax.grad(lambda p: objective(config, p, x, dead, jnp.float32(0))[0])(params)["b_enc"])

    alive, dead = gradient(jnp.zeros(40, bool)), gradient(jnp.zeros(40, bool).at[0].set(True))
    assert float((pre_activations(params, x)[:, 0] > 0).mean()) > 0 and alive[0] == 0 and dead[0] != 0
    np.testing.assert_allclose(dead[1:], alive[1:], rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "sparse"}, "must be one of relu, topk, batch-topk, jumprelu"),
        ({"l0": 41}, "must be greater than 0 and at most latents = 40"),
        ({"l0": 2.5}, "must be a whole number with kind = 'topk'"),
        ({"l0": None}, "missing: set the number of active latents"),
        ({"coefficient": 1.0, "l0": None}, "only relu and jumprelu"),
        ({"kind": "relu", "coefficient": 1.0}, "set one of them, not both"),
        ({"model_run": "abc"}, "must be the 64 hex digits of a run id"),
        ({"site": "head"}, "must be one of residual, attention, mlp"),
    ],
)
def test_a_config_that_is_not_valid_is_one_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        autoencoder(**{"kind": "topk", **fields})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_programs_of_all_sites_are_one() -> None:
    """The objective depends on neither layer nor site, so that a pack compiles one program."""
    x, config = sample(), autoencoder("topk")
    other = dataclasses.replace(config, layer=3, site="mlp", model_run="a" * 64)
    params = initial_params(config, jnp.uint32(0), x)
    losses = [objective(c, params, x, jnp.zeros(40, bool), jnp.float32(0))[0] for c in (config, other)]
    assert losses[0] == losses[1]
