"""Sparse products: the same reconstruction and gradients as by dense products, k latents per token exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.sae import SaeConfig
from scaling.models.sae import objective as objectives
from scaling.models.sae import sparse

B, D, n, k = 32, 16, 256, 4  # tokens, width, latents, active ones
SAE = SaeConfig(kind="topk", latents=n, layer=0, l0=k, auxiliary_latents=8)
RANDOM = np.random.default_rng(0)
ENCODER_Dn = RANDOM.normal(size=(D, n)).astype(np.float32) / D**0.5
TRAINED = {
    "W_enc": ENCODER_Dn, "b_enc": 0.1 * RANDOM.normal(size=n).astype(np.float32), "W_dec": ENCODER_Dn.T.copy(),
    "b_dec": 0.1 * RANDOM.normal(size=D).astype(np.float32),
}  # fmt: skip
X_BD = RANDOM.normal(size=(B, D)).astype(np.float32) / D**0.5


@jax.jit
def value(trained: dict[str, jax.Array], dead_n: jax.Array) -> tuple[jax.Array, objectives.Measures]:
    params = {**trained, "variance": jnp.float32(0.9)}
    return objectives.objective(SAE, params, jnp.asarray(X_BD), dead_n, jnp.zeros(()))


@pytest.mark.slow
def test_sparse_and_dense_products_give_the_same_objective_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for is_sparse in (True, False):
        monkeypatch.setattr(objectives, "is_faster", lambda *_, value=is_sparse: value)
        value.clear_cache()
        gradient = jax.jit(jax.value_and_grad(value, has_aux=True))
        # none, fewer and more dead latents than a batch trains
        results.append([jax.device_get(gradient(TRAINED, np.arange(n) < dead)) for dead in (0, 3, 100)])
    for ((loss, measures), gradients), ((dense_loss, dense_measures), dense_gradients) in zip(*results, strict=True):
        np.testing.assert_allclose(loss, dense_loss, rtol=1e-5)
        np.testing.assert_array_equal(measures.active, dense_measures.active)
        assert measures.l0 == k
        for name, expected in dense_gradients.items():
            np.testing.assert_allclose(gradients[name], expected, atol=1e-5 * np.abs(expected).max(), err_msg=name)
    assert results[0][0][0][0] < results[0][1][0][0] < results[0][2][0][0]  # dead latents add to the objective


def test_a_batch_revives_as_many_dead_latents_as_are_configured_and_other_batches_others() -> None:
    @jax.jit
    def revived(x_BD: jax.Array) -> jax.Array:
        def loss(bias_n: jax.Array) -> jax.Array:
            return objectives.auxiliary_loss(SAE, {**TRAINED, "b_enc": bias_n}, x_BD, x_BD, jnp.arange(n) < 100)

        return jax.grad(loss)(TRAINED["b_enc"] + 1)

    first, second = (set(np.flatnonzero(np.asarray(revived(x_BD))).tolist()) for x_BD in (X_BD, X_BD[::-1]))
    assert len(first) == len(second) == SAE.auxiliary_latents and max(first | second) < 100 and first != second


def test_sparse_products_are_for_many_latents_per_active_one() -> None:
    assert sparse.is_faster(4096, 32) and not sparse.is_faster(256, 32)
