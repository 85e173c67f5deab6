"""Counts are exact: what Flax holds, what XLA multiplies, what the papers print."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from scaling.config import ModelConfig
from scaling.models import attention, counts
from scaling.models.presets import preset
from scaling.models.transformer import Transformer
from sweeps import rules
from sweeps.definitions import quickstart

SHAPES = {
    "swiglu": ModelConfig(vocab=257, width=64, layers=2, heads=2, mlp_width=172),
    "gelu, tied": ModelConfig(vocab=300, width=96, layers=3, heads=3, mlp_width=384, mlp="gelu", tied=True),
    "grouped": ModelConfig(vocab=257, width=64, layers=2, heads=4, kv_heads=2, mlp_width=160),
    "multi-query, own head size": ModelConfig(
        vocab=257, width=64, layers=1, heads=4, kv_heads=1, head_dim=24, mlp_width=96
    ),
    **{f"quickstart, width {width}": rules.model(width, 257) for width in quickstart.WIDTHS},
}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_that_flax_holds(name: str) -> None:
    model = SHAPES[name]
    held = nnx.eval_shape(lambda: Transformer(model, rngs=nnx.Rngs(0)))
    by_group: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(held)))[0]:
        names = [key.key for key in path]
        group = "norm" if names[-1].startswith("g_") else next(
            g for g in ("embedding", "attention", "mlp", "head") if any(n.startswith(g) for n in names)
        )  # fmt: skip
        by_group[group] = by_group.get(group, 0) + leaf.size
    counted = counts.parameters(model)
    assert counted.pop("total") == sum(by_group.values())
    assert counted == by_group


@pytest.mark.parametrize(("name", "total"), [("llama2-7b", 6_738_415_616), ("llama3-8b", 8_030_261_248)])
def test_published_totals(name: str, total: int) -> None:
    assert counts.parameters(preset(name))["total"] == total


def dot_flops(fn, *args) -> int:
    """FLOPs of the matrix products in the program that JAX hands to XLA."""

    def walk(jaxpr) -> int:
        total = 0
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dot_general":
                (contract, _), _ = eqn.params["dimension_numbers"]
                k = 1
                for axis in contract:
                    k *= eqn.invars[0].aval.shape[axis]
                total += 2 * eqn.outvars[0].aval.size * k
            for value in eqn.params.values():
                inner = getattr(value, "jaxpr", None)
                if inner is not None:
                    total += walk(getattr(inner, "jaxpr", inner))
        return total

    return walk(jax.make_jaxpr(fn)(*args).jaxpr)


def loss_of(model: ModelConfig):
    graph, params = nnx.split(nnx.eval_shape(lambda: Transformer(model, rngs=nnx.Rngs(0))))

    def loss(params, tokens):
        return jnp.sum(jnp.square(nnx.merge(graph, params)(tokens)))

    return loss, params


@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_the_products_of_the_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCKS", 1)  # one block: the full square, which is counted too
    model, length, batch = SHAPES[name], 64, 2
    loss, params = loss_of(model)
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    forward = counts.forward_flops(model, length)
    full = batch * sum(v for part, v in forward.items() if part != "attention_causal")
    assert dot_flops(loss, params, tokens) == full
    assert dot_flops(jax.grad(loss), params, tokens) == 3 * full


@pytest.mark.parametrize("width", [*quickstart.WIDTHS, 256, 512])
def test_flops_equal_xlas_own_count(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA counts elementwise work too: within 2% where products are wide, over by up to 6% at widths under 80."""
    monkeypatch.setattr(attention, "BLOCKS", 1)
    model = rules.model(width, 257)
    loss, params = loss_of(model)
    tokens = jax.ShapeDtypeStruct((4, 128), jnp.int32)
    analysis = jax.jit(jax.grad(loss)).lower(params, tokens).cost_analysis()
    ours = 3 * 4 * sum(v for part, v in counts.forward_flops(model, 128).items() if part != "attention_causal")
    assert 1 <= analysis["flops"] / ours < (1.02 if width >= 80 else 1.06)


def test_causal_attention_counts_the_pairs_that_the_mask_lets_through() -> None:
    model, length = SHAPES["swiglu"], 10
    pairs = sum(1 for q in range(length) for k in range(length) if k <= q)
    per_pair = 2 * 2 * model.layers * model.heads * model.head
    assert counts.forward_flops(model, length)["attention_causal"] == pairs * per_pair


def test_total_is_its_parts_and_grows_by_sequences() -> None:
    model = SHAPES["grouped"]
    one, ten = counts.training_flops(model, 32, 1), counts.training_flops(model, 32, 10)
    assert {k: 10 * v for k, v in one.items()} == ten
    parts = sum(v for k, v in one.items() if k != "total" and not k.startswith("attention_full"))
    assert one["total"] == parts
    deeper = dataclasses.replace(model, layers=model.layers + 1)
    assert counts.training_flops(deeper, 32, 1)["head_forward"] == one["head_forward"]
