"""The loss in blocks is the loss: value, gradient, on a mesh; and the full logits are never there."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.distributed import sharding
from scaling.models import loss

B, L, D, V = 4, 10, 8, 31


def random_inputs(dtype=jnp.float32):
    draws = np.random.default_rng(0)
    x_BLD = jnp.asarray(draws.standard_normal((B, L, D)), dtype)
    w_DV = jnp.asarray(draws.standard_normal((D, V)), jnp.float32)
    return x_BLD, w_DV, jnp.asarray(draws.integers(0, V, (B, L)), jnp.int32)


def plain(x_BLD, w_DV, targets_BL, softcap, z_loss):
    """As the definition has it."""
    logits_BLV = jnp.einsum("BLD,DV->BLV", x_BLD.astype(jnp.float32), w_DV)
    logits_BLV = logits_BLV if softcap is None else softcap * jnp.tanh(logits_BLV / softcap)
    losses, log_z = loss.token_losses(logits_BLV, targets_BL)
    return losses.mean() + z_loss * jnp.square(log_z).mean(), losses.mean()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("softcap", "z_loss"), [(None, 0.0), (None, 0.1), (2.0, 0.1)])
def test_blocks_change_neither_the_loss_nor_its_gradient(count: int, softcap: float | None, z_loss: float) -> None:
    x, w, y = random_inputs()

    def both(loss_function):
        return jax.jit(jax.value_and_grad(lambda x, w: loss_function(x, w, y), argnums=(0, 1), has_aux=True))(x, w)

    own_values = both(partial(loss.training_loss, softcap=softcap, z_loss=z_loss, blocks=count))
    published_values = both(partial(plain, softcap=softcap, z_loss=z_loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7), own_values, published_values)
    alone = loss.sequence_scores(x, w, y, softcap, count)[0]
    np.testing.assert_allclose(alone.mean(), published_values[0][1], rtol=2e-6)


def test_what_comes_after_the_loss_multiplies_its_gradient() -> None:
    x, w, y = random_inputs()
    three = jax.grad(lambda x: 3 * loss.training_loss(x, w, y, blocks=2)[0])(x)
    first = jax.grad(lambda x: sum(loss.training_loss(x, w, y, blocks=2)))(x)  # what is reported adds nothing
    np.testing.assert_allclose(three, 3 * first, rtol=1e-6)


def test_in_bfloat16_the_gradient_is_rounded_as_activations_are() -> None:
    x, w, y = random_inputs(jnp.bfloat16)
    own_values = jax.grad(lambda x, w: loss.training_loss(x, w, y, blocks=3)[0], argnums=(0, 1))(x, w)
    published_values = jax.grad(lambda x, w: plain(x, w, y, None, 0.0)[0], argnums=(0, 1))(x, w)
    assert own_values[0].dtype == jnp.bfloat16 and own_values[1].dtype == jnp.float32
    for a, b in zip(own_values, published_values, strict=True):
        np.testing.assert_allclose(a.astype(np.float32), b.astype(np.float32), atol=0.02 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("placement", [Placement(data=4), Placement(data=2, fsdp=2, tensor=2)])
def test_on_a_mesh_it_is_the_same_and_the_heads_gradient_is_summed_once(placement: Placement) -> None:
    x, w, y = random_inputs()
    grad = jax.value_and_grad(lambda x, w: loss.training_loss(x, w, y, z_loss=0.1, blocks=5)[0], argnums=(0, 1))
    on_one_device = jax.jit(grad)(x, w)
    mesh = sharding.make_mesh(placement)
    layout = (
        jax.sharding.NamedSharding(mesh, sharding.BATCH_SPEC),
        jax.sharding.NamedSharding(mesh, sharding.partition_spec(("w_DV",), w.shape, mesh)),
    )
    with jax.set_mesh(mesh):
        compiled = jax.jit(grad, in_shardings=layout).lower(x, w).compile()
        on_mesh = compiled(*(jax.device_put(a, at) for a, at in zip((x, w), layout, strict=True)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), on_one_device, on_mesh)
    text = compiled.as_text()
    bodies = [text.split(f"\n%{name} ")[1].split("\n}")[0] for name in re.findall(r"body=%([\w.-]+)", text)]
    assert bodies and "all-reduce" in text
    if placement.tensor == 1:  # a vocabulary in parts sums its logits' sizes in each block
        assert not any("all-reduce" in body for body in bodies)


@pytest.mark.parametrize("vocab", [32_000, 128_256])
def test_large_logits_are_never_held_whole(vocab: int) -> None:
    shapes = [
        jax.ShapeDtypeStruct(s, t)
        for s, t in (((2, 1024, 16), "float32"), ((16, vocab), "float32"), ((2, 1024), "int32"))
    ]
    full = 4 * 2 * 1024 * vocab

    def temporaries(count):
        grad = jax.jit(jax.grad(lambda x, w, y: loss.training_loss(x, w, y, blocks=count)[0], argnums=(0, 1)))
        return grad.lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(None) < 0.7 * full < full <= temporaries(1)
    assert loss.block_count(2, 1024, 257) == 1
