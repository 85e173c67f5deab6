"""The model: what must hold of any decoder, whatever it has learned."""

import functools
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.models.attention import positions, softmax
from scaling.models.attention.attention import relative_shift
from scaling.models.loss import token_losses
from scaling.models.transformer import ForwardOptions
from tests.support.models import FAST_COMPILE, VARIANTS, decoder, random_model, random_tokens

LENGTH = 130  # two blocks of attention


@functools.cache
def compiled(config: ModelConfig):
    """A model's logits as a function of tokens and segments."""
    graph, params = random_model(config)
    forward = jax.jit(lambda p, x, s: nnx.merge(graph, p)(x, s), compiler_options=FAST_COMPILE)
    return lambda x, segments=None: np.asarray(forward(params, x, segments))


@pytest.mark.parametrize("name", VARIANTS)
def test_causality_no_position_sees_a_later_token(name: str) -> None:
    x = random_tokens((2, LENGTH))
    x[1], middle = x[0], LENGTH // 2
    x[1, middle] = (x[0, middle] + 1) % 50
    a, b = compiled(VARIANTS[name])(x)
    np.testing.assert_array_equal(a[:middle], b[:middle])
    assert np.abs(a[middle:] - b[middle:]).max() > 1e-6


@pytest.mark.parametrize("name", [n for n, config in VARIANTS.items() if config.capacity is None])
def test_a_document_reads_alone_what_it_reads_packed_or_padded(name: str) -> None:
    """Rows: A then B; B then padding; another A then B; B then other padding."""
    x, segments = random_tokens((4, 24)), np.zeros((4, 24), np.int32)
    x[3, :14] = x[1, :14] = x[2, 10:] = x[0, 10:]
    segments[::2, 10:] = segments[1::2, 14:] = 1
    y = compiled(VARIANTS[name])(x, segments)
    np.testing.assert_allclose(y[0, 10:], y[1, :14], atol=3e-6)
    np.testing.assert_array_equal(y[0, 10:], y[2, 10:])
    np.testing.assert_array_equal(y[1, :14], y[3, :14])
    assert np.abs(y[0, :10] - y[2, :10]).max() > 1e-3


def test_a_document_ends_with_its_last_token() -> None:
    x = jnp.asarray([[9, 3, 0, 4, 0, 0, 5]])
    segments = positions.document_ids(x, 0)
    assert segments.tolist() == [[0, 0, 0, 1, 1, 2, 3]]
    assert positions.segment_positions(7, segments).tolist() == [[0, 1, 2, 0, 1, 0, 0]]


@pytest.mark.parametrize("name", ["swiglu", *(pytest.param(n, marks=pytest.mark.slow) for n in list(VARIANTS)[1:])])
def test_the_first_loss_is_ln_v(name: str) -> None:
    config = VARIANTS[name]
    graph, params = nnx.split(decoder(config))
    x = random_tokens((2, LENGTH + 1))
    losses, _ = token_losses(
        jnp.asarray(nnx.merge(graph, params)(x[:, :-1], None, ForwardOptions(scan=True))), jnp.asarray(x[:, 1:])
    )
    assert float(losses.mean()) == pytest.approx(math.log(config.vocab), rel=0.02)


def test_sequences_of_a_batch_do_not_touch_each_other() -> None:
    for name in ("swiglu", "experts, capacity, shared"):
        x, forward = random_tokens((2, LENGTH)), compiled(VARIANTS[name])
        first, second = forward(x[[0, 0]]), forward(x[[1, 1]])  # each beside itself, then beside the other
        np.testing.assert_allclose(forward(x), [first[0], second[1]], atol=2e-6)


@pytest.mark.parametrize(
    "name",
    ["swiglu", "experts, capacity, shared", pytest.param("local and global, capped, sandwich", marks=pytest.mark.slow)],
)
def test_scan_and_remat_change_no_number(name: str) -> None:
    graph, params = random_model(replace(VARIANTS[name], layers=4 if VARIANTS[name].window else 2))
    x, y = random_tokens((2, 24)), jnp.asarray(random_tokens((2, 24), seed=1))

    def loss(params, scan, remat):
        logits, aux = nnx.merge(graph, params).forward(x, None, ForwardOptions(scan=scan, remat=remat))
        return token_losses(logits, y)[0].mean() + sum(aux.values())

    grad = jax.jit(jax.grad(loss), static_argnums=(1, 2), compiler_options=FAST_COMPILE)
    plain = grad(params, False, "none")
    for scan, remat in ((True, "full"), (True, "dots")):
        other = grad(params, scan, remat)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=3e-6), plain, other)


def naive(q, k, v, segments, sampling):
    """Causal attention as the papers have it (Vaswani 2017, equation 1); q, k, v of (heads, positions, size)."""
    X, L, _ = q.shape
    scores, (i, j) = jnp.einsum("XQh,XMh->XQM", q, k), np.indices((L, L))
    if sampling.softcap:
        scores = sampling.softcap * jnp.tanh(scores / sampling.softcap)
    if sampling.slopes:
        scores = scores - np.tile(sampling.slopes, X // len(sampling.slopes))[:, None, None] * (i - j)[None]
    visible = np.broadcast_to((i >= j) & (i - j < (sampling.window or L)), (X, L, L))
    if segments is not None:
        same = segments[:, :, None] == segments[:, None, :]
        visible = visible & np.repeat(same, X // len(segments), axis=0)
    return jnp.einsum("XQM,XMh->XQh", jax.nn.softmax(jnp.where(visible, scores, -jnp.inf), -1), v)


PLAIN = softmax.ScoreConfig(1.0)
WAYS = {
    "plain": PLAIN,
    "window": replace(PLAIN, window=37),
    "softcap": replace(PLAIN, softcap=1.5),
    "alibi": replace(PLAIN, slopes=(0.5, 0.1, 0.02)),
    "all, documents": softmax.ScoreConfig(1.0, 70, 2.0, (0.5, 0.1, 0.02)),
}


@pytest.mark.parametrize(("way", "length"), [("plain", 7), ("plain", 64), ("plain", 257), *((w, 130) for w in WAYS)])
def test_blockwise_attention_is_attention_and_so_is_its_gradient(way: str, length: int) -> None:
    q, k, v, d = (np.random.default_rng(i).standard_normal((6, length, 8), np.float32) for i in range(4))
    segments = np.sort(random_tokens((2, length), 4), axis=1) if "documents" in way else None

    @partial(jax.jit, static_argnums=0, compiler_options=FAST_COMPILE)
    def both(f, q, k, v, d):
        out, pull = jax.vjp(lambda q, k, v: f(q, k, v, segments, WAYS[way]), q, k, v)
        return out, pull(d)

    own_values, published_values = (
        both(softmax.blockwise_attention, q * 8**-0.5, k, v, d),
        both(naive, q * 8**-0.5, k, v, d),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-6), own_values, published_values)


def test_rotary_scores_depend_on_distance_alone() -> None:
    cos, sin = positions.rotary_angles(positions.segment_positions(32, None), 8, 10_000.0)
    q, k = (
        np.broadcast_to(np.random.default_rng(i).standard_normal(8, np.float32), (1, 1, 1, 32, 8)) for i in range(2)
    )
    q, k = (np.asarray(positions.apply_rotary(x, cos, sin))[0, 0, 0] for x in (q, k))
    scores = q @ k.T
    for distance in range(5):
        diagonal = np.diagonal(scores, -distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert abs(scores[5, 5] - scores[9, 2]) > 1e-4


def test_relative_products_lie_at_their_distance() -> None:
    far = np.broadcast_to(np.arange(6, -1, -1, dtype=np.float32), (1, 1, 7, 7))  # column m is distance L - 1 - m
    i, j = np.tril_indices(7)
    np.testing.assert_array_equal(np.asarray(relative_shift(jnp.asarray(far)))[0, 0, i, j], i - j)


def test_alibis_slopes_are_the_papers() -> None:
    assert positions.alibi_slopes(8) == tuple(2.0**-i for i in range(1, 9))
    assert positions.alibi_slopes(12)[8:] == tuple(2.0 ** -(i + 0.5) for i in range(4))


def test_einsum_letters_are_the_axes_in_the_names() -> None:
    """Style: a name that ends in its axes means them."""
    models = Path(softmax.__file__).parent
    for path in sorted(models.glob("*.py")):
        for letters, operands in re.findall(r'einsum\("([^"]+)", ([^)]*?)(?:, preferred|\))', path.read_text()):
            inputs = letters.split("->")[0].split(",")
            for axes, operand in zip(inputs, [o.strip() for o in operands.split(",")], strict=True):
                suffix = operand.rpartition("_")[2] if "_" in operand else ""
                assert not suffix or suffix == axes, f"{path.name}: {operand} in einsum {letters}"
