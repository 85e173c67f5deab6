"""Laws of the model: what must hold of any decoder, whatever it has learned."""

import math
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config import ModelConfig
from scaling.evaluate.loss import token_losses
from scaling.models import attention
from scaling.models.transformer import Transformer

BASE = ModelConfig(vocab=50, width=32, layers=2, heads=4, mlp_width=48)
VARIANTS = {
    "swiglu": BASE,
    "gelu, tied": ModelConfig(vocab=50, width=32, layers=2, heads=4, mlp_width=48, mlp="gelu", tied=True),
    "grouped": ModelConfig(vocab=50, width=32, layers=2, heads=4, kv_heads=2, mlp_width=48),
    "multi-query": ModelConfig(vocab=50, width=32, layers=2, heads=4, kv_heads=1, head_dim=6, mlp_width=48),
}


def make(config: ModelConfig, seed: int = 0) -> Transformer:
    return Transformer(config, rngs=nnx.Rngs(seed))


def logits(model: Transformer, x: np.ndarray) -> np.ndarray:
    graph, params = nnx.split(model)
    return np.asarray(jax.jit(lambda p, x: nnx.merge(graph, p)(x))(params, x))


def tokens(shape: tuple[int, ...], vocab: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocab, shape).astype(np.int32)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("length", [12, 160])
def test_causality_no_position_sees_a_later_token(name: str, length: int) -> None:
    model, x = make(VARIANTS[name]), tokens((1, length))
    changed = x.copy()
    changed[0, length // 2] = (x[0, length // 2] + 1) % 50
    a, b = logits(model, x), logits(model, changed)
    np.testing.assert_array_equal(a[:, : length // 2], b[:, : length // 2])
    assert np.abs(a[:, length // 2 :] - b[:, length // 2 :]).max() > 1e-6


@pytest.mark.parametrize("name", VARIANTS)
def test_the_first_loss_is_ln_v(name: str) -> None:
    config = VARIANTS[name]
    losses, _ = token_losses(jnp.asarray(logits(make(config), tokens((8, 64)))), jnp.asarray(tokens((8, 64), seed=1)))
    assert float(losses.mean()) == pytest.approx(math.log(config.vocab), rel=0.02)


def test_sequences_of_a_batch_do_not_touch_each_other() -> None:
    model, x = make(BASE), tokens((3, 20))
    alone = np.concatenate([logits(model, x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(logits(model, x), alone, atol=2e-6)


@pytest.mark.parametrize("name", ["swiglu", "grouped"])
def test_scan_and_remat_change_no_number(name: str) -> None:
    graph, params = nnx.split(make(VARIANTS[name]))
    x, y = tokens((2, 24)), jnp.asarray(tokens((2, 24), seed=1))

    def loss(params, scan, remat):
        return token_losses(nnx.merge(graph, params)(x, scan=scan, remat=remat), y)[0].mean()

    grad = jax.jit(jax.grad(loss), static_argnums=(1, 2))
    plain = grad(params, False, False)
    for how in ((True, False), (True, True)):
        other = grad(params, *how)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain, other)


def naive(q, k, v):
    """Causal attention as the paper has it (Vaswani 2017, equation 1); arrays (heads, positions, size)."""
    scores = jnp.einsum("XQh,XMh->XQM", q, k)
    scores = jnp.where(jnp.tril(jnp.ones(scores.shape[1:], bool))[None], scores, -jnp.inf)
    return jnp.einsum("XQM,XMh->XQh", jax.nn.softmax(scores, -1), v)


@pytest.mark.parametrize("length", [7, 64, 130, 257])
def test_blockwise_attention_is_attention_and_so_is_its_gradient(length: int) -> None:
    q, k, v, d = (np.random.default_rng(i).standard_normal((3, length, 8), np.float32) for i in range(4))
    q *= 8**-0.5

    @partial(jax.jit, static_argnums=0)
    def both(f, q, k, v, d):
        out, pull = jax.vjp(f, q, k, v)
        return out, pull(d)

    ours, theirs = both(attention.blockwise, q, k, v, d), both(naive, q, k, v, d)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6), ours, theirs)


def test_the_accelerators_attention_agrees_with_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    q = np.random.default_rng(0).standard_normal((2, 2, 3, 40, 8), np.float32)
    k, v = (np.random.default_rng(i).standard_normal((2, 2, 40, 8), np.float32) for i in (1, 2))
    here = jax.jit(attention.attend)(q, k, v)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    there = jax.jit(lambda *x: attention.attend(*x))(q, k, v)
    np.testing.assert_allclose(here, there, atol=2e-6)


def test_rotary_scores_depend_on_distance_alone() -> None:
    cos, sin = attention.rotary(32, 8, 10_000.0)
    q, k = (np.broadcast_to(np.random.default_rng(i).standard_normal(8, np.float32), (32, 8)) for i in range(2))
    scores = np.asarray(attention.rotate(q, cos, sin) @ attention.rotate(k, cos, sin).T)
    for distance in range(5):
        diagonal = np.diagonal(scores, -distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert abs(scores[5, 5] - scores[9, 2]) > 1e-4


def test_einsum_letters_are_the_axes_in_the_names() -> None:
    """Style: a name that ends in its axes means them."""
    models = Path(attention.__file__).parent
    for path in sorted(models.glob("*.py")):
        for letters, operands in re.findall(r'einsum\("([^"]+)", ([^)]*?)(?:, preferred|\))', path.read_text()):
            inputs = letters.split("->")[0].split(",")
            for axes, operand in zip(inputs, [o.strip() for o in operands.split(",")], strict=True):
                suffix = operand.rpartition("_")[2] if "_" in operand else ""
                assert not suffix or suffix == axes, f"{path.name}: {operand} in einsum {letters}"
