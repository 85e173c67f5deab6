"""Encoders and of decoders that read them."""

import jax
import numpy as np
import pytest
from flax import nnx

from scaling.models.encoder_decoder import EncoderDecoder, bucket_indices
from tests.support.models import ENCODERS, FAST_COMPILE, random_tokens


def model(name: str):
    """Logits as a function of inputs, outputs and what is seen."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: EncoderDecoder(ENCODERS[name], rngs=nnx.Rngs(0))))
    draws = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: 0.3 * draws.standard_normal(leaf.shape, np.float32), shapes)
    forward = jax.jit(lambda p, *x: nnx.merge(graph, p)(*x), compiler_options=FAST_COMPILE)
    return lambda *x: np.asarray(forward(params, *x))


BOTH = [name for name, config in ENCODERS.items() if config.kind == "encoder-decoder"]


@pytest.mark.parametrize("name", BOTH)
def test_a_decoder_sees_no_later_output_and_all_of_the_input(name: str) -> None:
    inputs, outputs = random_tokens((3, 20)), random_tokens((3, 12), seed=1)
    inputs[1:], outputs[1:] = inputs[0], outputs[0]
    outputs[1, 7] = (outputs[0, 7] + 1) % 50
    inputs[2, 19] = (inputs[0, 19] + 1) % 50
    same, later, other = model(name)(inputs, outputs, np.ones((3, 20), bool))
    np.testing.assert_array_equal(same[:7], later[:7])
    assert np.abs(same[7:] - later[7:]).max() > 1e-4 and np.abs(same[0] - other[0]).max() > 1e-4


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_is_not_seen(name: str) -> None:
    inputs, outputs, visible = (
        random_tokens((2, 20)),
        random_tokens((2, 12), seed=1),
        np.arange(20)[None] < np.array([[14], [14]]),
    )
    inputs[1, :14], outputs[1] = inputs[0, :14], outputs[0]
    run = model(name)
    a, b = run(inputs, outputs, visible)
    np.testing.assert_array_equal(a[:12], b[:12])
    np.testing.assert_allclose(a[:12], run(inputs[:1, :14], outputs[:1], None)[0, :12], atol=1e-5)


def test_an_encoder_reads_bidirectional() -> None:
    x = random_tokens((2, 20))
    x[1, :19] = x[0, :19]
    x[1, 19] = (x[0, 19] + 1) % 50
    a, b = model("encoder")(x)
    assert np.abs(a[0] - b[0]).max() > 1e-4


def test_buckets_part_near_distances_and_share_far_ones() -> None:
    away = np.arange(300)[None]
    past = np.asarray(bucket_indices(-away, 32, 128, bidirectional=False))[0]
    assert past[:16].tolist() == list(range(16)) and (np.diff(past) >= 0).all() and (past[128:] == 31).all()
    assert (np.asarray(bucket_indices(away[:, 1:], 32, 128, bidirectional=False)) == 0).all()
    both = np.asarray(bucket_indices(np.concatenate([-away, away], axis=1), 32, 128, bidirectional=True))[0]
    assert both[:300].max() == 15 and both[301:].min() == 17
