"""Mixtures of experts."""

import os
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import ConfigError
from scaling.models.experts import Experts
from scaling.store.record import Store
from tests.support.models import BASE, FAST_COMPILE, random_model, random_tokens
from tests.support.training import train_run

MIXED = replace(BASE, experts=4, mlp_width=16)


def outputs(config: ModelConfig, params, x):
    """Logits and what the experts report."""
    graph, _ = random_model(config)
    run = jax.jit(lambda p, x: nnx.merge(graph, p).forward(x), compiler_options=FAST_COMPILE)
    logits, aux = run(params, x)
    return np.asarray(logits), {name: float(value) for name, value in aux.items()}


@pytest.mark.parametrize("sampling", [{}, {"capacity": 1.0}, {"gates": "all"}], ids=["ragged", "slots", "over all"])
def test_one_expert_is_the_dense_mlp(sampling: dict) -> None:
    _, params = random_model(BASE)
    first = replace(BASE, experts=1, experts_chosen=1, **sampling)
    mlp = nnx.to_pure_dict(params)["blocks"]["mlp"]
    _, mixed = random_model(first)
    pure = nnx.to_pure_dict(mixed)
    alone = {"gate_EDF": mlp["gate_DF"], "up_EDF": mlp["up_DF"], "down_EFD": mlp["down_FD"]}
    pure["blocks"] = nnx.to_pure_dict(params)["blocks"] | {
        "mlp": {"router_DE": pure["blocks"]["mlp"]["router_DE"], **{n: w[:, None] for n, w in alone.items()}}
    }
    pure |= {name: value for name, value in nnx.to_pure_dict(params).items() if name != "blocks"}
    x = random_tokens((2, 24))
    np.testing.assert_allclose(outputs(first, pure, x)[0], outputs(BASE, params, x)[0], atol=2e-6)


def test_room_for_all_drops_none_and_equals_no_capacity() -> None:
    _, params = random_model(MIXED)
    x = random_tokens((2, 24))
    free, _ = outputs(MIXED, params, x)
    roomy, aux = outputs(replace(MIXED, capacity=4.0), params, x)
    np.testing.assert_allclose(roomy, free, atol=2e-6)
    assert aux["dropped"] == 0
    tight, aux = outputs(replace(MIXED, capacity=0.5), params, x)
    assert 0.5 <= aux["dropped"] < 1 and np.abs(tight - free).max() > 1e-3


def test_each_token_gets_the_weighted_sum_of_its_experts() -> None:
    config = replace(MIXED, layers=1, shared_experts=1)
    block = Experts(config, rngs=nnx.Rngs(0))
    x_BLD = np.random.default_rng(0).standard_normal((2, 5, 32), np.float32)
    logits = x_BLD @ np.asarray(block.router_DE[...])
    gate, up, down = (np.asarray(w[...]) for w in (block.gate_EDF, block.up_EDF, block.down_EFD))
    shared, y_BLD = np.asarray(block.shared(jnp.asarray(x_BLD))), np.asarray(block(jnp.asarray(x_BLD))[0])
    for b, i in np.ndindex(2, 5):
        chosen = np.argsort(-logits[b, i])[:2]
        gates = np.exp(logits[b, i, chosen]) / np.exp(logits[b, i, chosen]).sum()
        x = x_BLD[b, i]
        want = sum(
            g * (np.asarray(jax.nn.silu(x @ gate[e])) * (x @ up[e])) @ down[e]
            for g, e in zip(gates, chosen, strict=True)
        )
        np.testing.assert_allclose(y_BLD[b, i], want + shared[b, i], atol=1e-5)


def test_the_balance_loss_is_one_where_all_are_used_alike_and_more_where_not() -> None:
    from scaling.models.experts import route

    even = jnp.asarray(np.eye(4, dtype=np.float32)[None, [0, 1, 2, 3] * 3] * 9)
    first = replace(MIXED, experts_chosen=1)
    assert float(route(even, first)[2]["balance_loss"]) == pytest.approx(1)
    skewed = jnp.asarray(np.eye(4, dtype=np.float32)[None, [0] * 12] * 9)
    assert float(route(skewed, first)[2]["balance_loss"]) == pytest.approx(4, rel=0.01)
    assert float(route(even, first)[2]["router_z_loss"]) == pytest.approx(np.log(np.e**9 + 3) ** 2)


def losses(store: Store, config: RunConfig) -> np.ndarray:
    return np.array([[row["loss"], row["balance_loss"]] for row in store.curve(run_id(config))])


@pytest.mark.slow
def test_experts_train_alike_on_any_mesh_and_the_curve_says_what_was_dropped(
    tmp_path: Path, corpus: Path, tiny: RunConfig
) -> None:
    config = override(tiny, ["model.experts=4", "model.capacity=1", "model.mlp_width=16", "steps=8"])
    curves = []
    for placement in (Placement(data=1), Placement(data=1, fsdp=2, expert=4)):
        store = Store(tmp_path / str(placement.expert))
        store.token_files.mkdir(parents=True)
        os.link(corpus, store.token_files / corpus.name)
        record = train_run(config, store, replace(placement, save_seconds=1e9))
        assert record.status == "done" and record.about["mesh"]["expert"] == placement.expert
        curves.append(losses(store, config))
        assert all(0 < row["dropped"] < 0.6 for row in store.curve(run_id(config)))
    np.testing.assert_allclose(*curves, atol=1e-4)
    assert curves[0][-1, 0] < curves[0][0, 0] - 0.3


def test_experts_lie_over_their_axis_with_an_all_to_all(tiny: RunConfig) -> None:
    from scaling.program.build import build_program

    config = override(tiny, ["model.experts=4", "model.capacity=1", "model.mlp_width=16"])
    compiled, _ = build_program(config, Placement(data=2, expert=4))
    up = compiled.abstract["params"]["blocks"]["mlp"]["up_EDF"]
    assert up.sharding.shard_shape(up.shape)[1] == 1
    assert "all-to-all" in compiled.step.as_text()


@pytest.mark.parametrize(
    ("assignments", "placement", "says"),
    [
        (["model.experts=3"], Placement(expert=2), "Placement.expert = 2: must divide the model's experts = 3"),
        ([], Placement(expert=2), "must divide the model's experts = 0"),
        (["batch=6"], Placement(data=1, expert=4), "must be a multiple of the 4"),
    ],
)
def test_a_mesh_that_cannot_hold_the_experts_says_why(
    tiny: RunConfig, assignments: list[str], placement: Placement, says: str
) -> None:
    from scaling.program.build import build_program

    with pytest.raises(ConfigError, match=says):
        build_program(override(tiny, assignments), placement)
