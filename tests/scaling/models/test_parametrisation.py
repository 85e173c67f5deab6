"""The parametrisations and of the optimisers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override
from scaling.config.validation import ConfigError, to_dict
from scaling.config.validation import from_dict as read
from scaling.models.parametrisation import MULTIPLIERS, multiplier, parameter_group, score_multiplier
from scaling.models.transformer import Transformer
from scaling.program import optimizer
from scaling.program.build import build_program
from scaling.store.record import Store
from tests.support.models import VARIANTS
from tests.support.training import STEPWISE, assert_same_run, train_run

OPTIMIZERS = ("adamw", "lion", "adafactor", "muon")
WIDE = ModelConfig(
    vocab=50, width=32, layers=4, heads=2, mlp_width=48, parametrization="completep", base_width=8, base_depth=2
)


def model(config: RunConfig, **fields: object) -> RunConfig:
    """The config with fields of its model changed together."""
    data = to_dict(config)
    data["model"] |= fields
    return read(RunConfig, data)


def shapes(config: ModelConfig):
    """Parameters' names and shapes, nothing allocated."""
    return nnx.to_pure_dict(nnx.eval_shape(lambda: nnx.state(Transformer(config, rngs=nnx.Rngs(0)))))


def test_at_the_base_shape_each_is_the_standard_one_bit_for_bit(tiny: RunConfig) -> None:
    base = {"base_width": 16, "base_head": 8}
    completep = model(tiny, parametrization="completep", base_depth=2, **base)
    results = []
    for config in (tiny, model(tiny, parametrization="mup", **base), completep):
        compiled, _ = build_program(config, STEPWISE)
        state, losses, draws = compiled.init(0), [], np.random.default_rng(0)
        for _ in range(20):
            tokens = draws.integers(0, 257, (tiny.batch, tiny.data.length + 1)).astype(np.int32)
            placed = jax.device_put(tokens, compiled.batch_sharding)
            state, metrics = compiled.step(state, placed, np.float32(0.01))
            losses.append(float(metrics["loss"]))
        results.append((losses, jax.tree.leaves(state)))
    for losses, leaves in results[1:]:
        assert losses == results[0][0]
        for a, b in zip(results[0][1], leaves, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [name for name, config in VARIANTS.items() if config.kind == "decoder"])
def test_every_parameter_has_its_row(name: str) -> None:
    groups = jax.tree.leaves(optimizer.map_with_path(lambda path, leaf: parameter_group(path), shapes(VARIANTS[name])))
    for table in MULTIPLIERS.values():
        assert set(groups) <= set(table)


def test_the_table_says_what_the_papers_say() -> None:
    m, l = 4, 2
    mup = dataclasses.replace(WIDE, parametrization="mup", base_depth=None)
    assert multiplier(mup, "mlp_in", "lr") == 1 / m and multiplier(mup, "mlp_in", "decay") == m
    assert multiplier(mup, "embedding", "lr") == multiplier(mup, "head", "lr") == multiplier(mup, "norm", "lr") == 1
    assert multiplier(mup, "head", "forward") == 1 / m and multiplier(mup, "mlp_out", "forward") == 1
    assert multiplier(WIDE, "mlp_out", "forward") == 1 / l and multiplier(WIDE, "mlp_out", "init") == l**0.5
    assert multiplier(WIDE, "attention_in", "eps") == 1 / (m * l) and multiplier(WIDE, "head", "eps") == 1 / m
    assert score_multiplier(dataclasses.replace(WIDE, base_head=4)) == 0.5  # heads of 16: over 8 what was over 4


def test_what_is_written_into_the_stream_starts_the_same_at_any_depth_and_counts_less() -> None:
    """CompleteP's branches add up to depth · 1/depth² in variance: no more than the base's."""
    sizes = []
    for layers in (2, 4):
        net = Transformer(dataclasses.replace(WIDE, layers=layers), rngs=nnx.Rngs(0))
        assert net.blocks.branches == (2 / layers, 2 / layers)
        sizes.append(float(jnp.std(net.blocks.mlp.down_FD[...])))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


@pytest.mark.parametrize("fields", [{}, {"experts": 4, "mlp": "gelu"}], ids=["dense", "experts"])
def test_a_forward_multiplier_is_the_standard_model_with_that_parameter_multiplied(fields: dict[str, object]) -> None:
    config = dataclasses.replace(WIDE, layers=4, base_head=4, **fields)
    plain = {"parametrization": "standard", "base_width": None, "base_depth": None, "base_head": None}
    standard = dataclasses.replace(config, **plain, attention_scale=config.head**2 / 4)
    graph, state = nnx.split(Transformer(config, rngs=nnx.Rngs(0)))
    other = nnx.split(Transformer(standard, rngs=nnx.Rngs(0)))[0]
    params = nnx.to_pure_dict(state)
    changed = optimizer.map_with_path(
        lambda path, leaf: leaf * multiplier(config, parameter_group(path), "forward"), params
    )
    draws = np.random.default_rng(0).integers(0, 50, (2, 8)).astype(np.int32)
    logits = [jax.jit(lambda p, g=g: nnx.merge(g, p)(draws))(p) for g, p in ((graph, params), (other, changed))]
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-6)
    assert float(jnp.std(logits[0])) > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rates_and_decays_follow_the_table(name: str) -> None:
    config, kind = OptimizerConfig(lr=1, name=name, weight_decay=0.5, eps=1e-12), "muon_" if name == "muon" else ""
    params = jax.tree.map(lambda s: jax.random.normal(jax.random.key(1), s.shape), shapes(WIDE))
    grads = jax.tree.map(lambda s: jax.random.normal(jax.random.key(2), s.shape), shapes(WIDE))
    values = []
    for model_config in (None, WIDE):
        transform = optimizer.make_optimizer(dataclasses.replace(config, weight_decay=0.0), model_config)
        decayed = optimizer.make_optimizer(config, model_config)
        plain, more = (t.update(grads, t.init(params), params)[0] for t in (transform, decayed))
        values.append((plain, jax.tree.map(jnp.subtract, more, plain)))

    def check(path, was, rescaled, pull_was, pull_now) -> None:
        prefix = kind if parameter_group(path) in optimizer.MUON_GROUPS else ""
        np.testing.assert_allclose(
            rescaled, was * multiplier(WIDE, parameter_group(path), prefix + "lr"), rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(pull_now, pull_was, rtol=1e-4, atol=2e-6)  # rate · decay stays what it was

    optimizer.map_with_path(check, values[0][0], values[1][0], values[0][1], values[1][1])


def test_gradients_over_k_are_an_epsilon_times_k() -> None:
    grads = jax.tree.map(lambda s: 1e-4 * jax.random.normal(jax.random.key(2), s.shape), shapes(WIDE))
    config = OptimizerConfig(lr=1, eps=1e-4, weight_decay=0.0)
    own_path = optimizer.make_optimizer(config, WIDE)
    updates, _ = own_path.update(grads, own_path.init(grads), grads)
    for kind in ("mlp_in", "head"):
        k, rate = multiplier(WIDE, kind, "eps"), multiplier(WIDE, kind, "lr")
        plain = optimizer.adamw(dataclasses.replace(config, eps=1e-4 * k))
        expected, _ = plain.update(grads, plain.init(grads))
        pick = (lambda t: t["blocks"]["mlp"]["up_DF"]) if kind == "mlp_in" else (lambda t: t["head_DV"])
        np.testing.assert_allclose(pick(updates), rate * pick(expected), rtol=1e-5)


def test_muon_turns_each_matrix_by_itself_and_leaves_the_rest_to_adamw() -> None:
    grads = jax.tree.map(lambda s: jax.random.normal(jax.random.key(2), s.shape), shapes(WIDE))
    config = OptimizerConfig(lr=1, name="muon", weight_decay=0.0)
    own_path, adam = optimizer.make_optimizer(config), optimizer.adamw(config)
    updates, expected = (t.update(grads, t.init(grads), grads)[0] for t in (own_path, adam))
    np.testing.assert_array_equal(updates["embedding_VD"], expected["embedding_VD"])
    np.testing.assert_array_equal(updates["blocks"]["mlp_norm"]["g_D"], expected["blocks"]["mlp_norm"]["g_D"])
    attention = updates["blocks"]["attention"]
    qkv_NDF = jnp.moveaxis(attention["qkv_DKJh"], 3, 1).reshape(4 * 3, 32, 32)
    for matrices, larger in ((qkv_NDF, 32), (attention["out_HD"], 32), (updates["blocks"]["mlp"]["up_DF"], 48)):
        singular = jnp.linalg.svd(matrices, compute_uv=False) / (optimizer.MUON_RMS * larger**0.5)
        assert float(jnp.quantile(singular, 0.05)) > 0.3 and float(singular.max()) < 1.3
        assert float(jnp.sqrt(jnp.mean(matrices**2))) == pytest.approx(0.2 * 0.9, abs=0.05)


@pytest.mark.parametrize(
    "name", ["muon", *(pytest.param(name, marks=pytest.mark.slow) for name in OPTIMIZERS[1:] if name != "muon")]
)
def test_every_optimizer_learns_and_resumes_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig, name: str
) -> None:
    rate = {"lion": 0.003, "adafactor": 0.01, "muon": 0.02}[name]
    config = override(tiny, [f"optimizer.name={name}", f"optimizer.lr={rate}"])
    whole = train_run(config, store)
    assert whole.final["loss"] < store.curve(whole.run_id)[0]["loss"] - 0.5
    assert train_run(config, second_store, stop_after=9).status == "stopped"
    assert train_run(config, second_store).about["started_from"] == {"step": 9, "shared": False}
    assert_same_run(store, second_store, config)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"parametrization": "ntk"}, "must be one of standard, mup, completep"),
        ({"parametrization": "mup"}, "base_width: must be set with parametrization = 'mup'"),
        (
            {"parametrization": "completep", "base_width": 8},
            "base_depth: must be set with parametrization = 'completep'",
        ),
        ({"base_width": 8}, "parametrization = 'standard': must be null: 'standard' uses no base shape"),
        ({"parametrization": "mup", "base_width": 8, "base_depth": 2}, "uses base_width, base_head"),
        ({"parametrization": "mup", "base_width": 0}, "base_width = 0: must be greater than 0"),
    ],
)
def test_a_base_that_cannot_be_is_refused_in_one_line(tiny: RunConfig, fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        model(tiny, **fields)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["soap", "shampoo", "sgd"])
def test_an_optimizer_that_optax_has_not_is_an_error_that_lists_those_it_has(tiny: RunConfig, name: str) -> None:
    with pytest.raises(ConfigError, match="adamw, lion, adafactor, muon") as error:
        override(tiny, [f"optimizer.name={name}"])
    assert ("not in Optax" in str(error.value)) == (name != "sgd")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_over_a_mesh_every_optimizer_gives_what_one_device_gives(tiny: RunConfig, name: str) -> None:
    config = model(tiny, layers=1, width=128, mlp_width=128)  # wide enough for Adafactor's factors
    config = override(config, [f"optimizer.name={name}", "optimizer.eps=1e-4"])  # no gradient of rounding's size counts
    tokens = np.random.default_rng(0).integers(0, 257, (3, tiny.batch, tiny.data.length + 1)).astype(np.int32)
    results = []
    for placement in (STEPWISE, Placement(data=2, fsdp=2, tensor=2)):
        compiled, _ = build_program(config, placement)
        state, losses = compiled.init(0), []
        for batch in tokens:
            placed = jax.device_put(batch, compiled.batch_sharding)
            state, metrics = compiled.step(state, placed, np.float32(0.003))
            losses.append(float(metrics["loss"]))
        results.append(losses)
    np.testing.assert_allclose(results[0], results[1], rtol=2e-5)
