"""Steering adds a direction to the activations of one site, in every way of generating text."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.validation import ConfigError
from scaling.inference import kv_cache
from scaling.inference.activations import edited_logits, sites_activations
from scaling.inference.options import Sampling
from scaling.inference.sae.steering import parse_steering, steering_edit, steering_vector
from scaling.inference.sampling import generate
from scaling.inference.sites import Site, SiteEdit
from tests.support.models import FAST_COMPILE, VARIANTS, random_tokens, untrained_run
from tests.support.sae.known import known_sae, random_params

MODEL = untrained_run(dataclasses.replace(VARIANTS["local and global, capped, sandwich"]), end=0)
SAE = known_sae(
    MODEL, random_params(MODEL.model.width, 12) | {"W_dec": 3 * random_params(MODEL.model.width, 12)["W_dec"]}
)
PROMPTS = [np.array([7, 0, 3, 9, 4]), np.array([11])]


def written(model, **more) -> np.ndarray:
    return np.stack(list(generate(model, PROMPTS, 6, Sampling(temperature=0), **more)), axis=1)


def test_logits_are_those_of_the_vector_added_by_hand() -> None:
    """The stream after the last layer plus the unit directions, through the head; with a cache and without."""
    values = {3: 40.0, 5: -7.5}
    edit, x = steering_edit(MODEL, SAE, values), random_tokens((2, 20))
    rows = random_params(MODEL.model.width, 12)["W_dec"]
    vector = 40 * rows[3] - 7.5 * rows[5]
    np.testing.assert_allclose(steering_vector(SAE, values), vector, rtol=1e-5, atol=1e-5)

    @partial(jax.jit, compiler_options=FAST_COMPILE)
    def every(params):
        graph, config, dtype = MODEL.graph, MODEL.config, MODEL.dtype
        site = Site(MODEL.model.layers - 1, "residual")
        stream = sites_activations(graph, config, dtype, [site], params, x)[0]
        model = nnx.merge(graph, params)
        by_hand = model.logits(model.head_inputs(stream + jnp.asarray(vector, jnp.float32)[None, None]))
        earlier = SiteEdit(Site(0, "attention"), edit.edit)
        parts, cached = kv_cache.split_blocks(params, MODEL.model.layers), []
        for change in (edit, earlier):
            zeros, slots = jnp.zeros((2, 20), jnp.int32), jnp.broadcast_to(jnp.arange(20), (2, 20))
            empty = kv_cache.empty_cache(model, 2, 20, dtype)
            new = kv_cache.NewTokens(x, slots, zeros, slots)
            cached.append(model.logits(kv_cache.extend_cache(model, parts[1], empty, new, dtype, change)[0]))
        apart = dataclasses.replace(config, data=dataclasses.replace(config.data, document_end=None))
        full = [edited_logits(graph, apart, dtype, change, params, x) for change in (edit, earlier)]
        return by_hand, edited_logits(graph, config, dtype, edit, params, x), cached, full

    by_hand, steered, cached, full = every(MODEL.params)
    np.testing.assert_allclose(steered, by_hand, rtol=1e-5, atol=1e-5)
    for with_cache, without in zip(cached, full, strict=True):
        np.testing.assert_allclose(with_cache, without, rtol=1e-4, atol=1e-4)
    assert np.abs(np.asarray(full[0]) - np.asarray(full[1])).max() > 0.1


def test_texts_are_steered_with_and_without_a_cache_and_not_by_0() -> None:
    plain, steered = written(MODEL), dataclasses.replace(MODEL, edit=steering_edit(MODEL, SAE, {3: 40.0}))
    tokens = written(steered)
    np.testing.assert_array_equal(tokens, written(steered, cache=False))
    assert (tokens != plain).any()
    assert steering_edit(MODEL, SAE, {3: 0.0, 4: 0.0}) is None
    zero = SiteEdit(Site(1, "residual"), lambda x_BLD: x_BLD + 0.0 * steering_vector(SAE, {3: 1.0})[None, None])
    np.testing.assert_array_equal(written(dataclasses.replace(MODEL, edit=zero)), plain)


def test_wrong_steering_is_one_line() -> None:
    assert parse_steering(["3=1.5", "4=-2", "3=1"]) == {3: 2.5, 4: -2.0}
    for text in ("3", "=1", "a=1", "3=", "3=x", "1.5=2", "3=nan", "3=inf"):
        with pytest.raises(ConfigError, match="--steer") as error:
            parse_steering([text])
        assert "\n" not in str(error.value)
    for latent in (12, -1):
        with pytest.raises(ConfigError, match="latents 0 to 11"):
            steering_edit(MODEL, SAE, {latent: 1.0})
    with pytest.raises(ConfigError, match="must be one of run"):
        steering_edit(untrained_run(VARIANTS["local"]), SAE, {1: 1.0})
