"""Counts are exact: what Flax holds, what XLA multiplies, what the papers print."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from scaling.config import presets
from scaling.config.model import ModelConfig
from scaling.config.presets import preset
from scaling.counting import counts
from scaling.models.attention import softmax
from scaling.models.encoder_decoder import EncoderDecoder
from scaling.models.transformer import Transformer
from sweeps.definitions import quickstart
from sweeps.planning import rules
from tests.support.models import ENCODERS, VARIANTS, dot_flops

ARCHITECTURES = VARIANTS | ENCODERS
SHAPES = ARCHITECTURES | {f"quickstart, width {width}": rules.model_at_width(width, 257) for width in quickstart.WIDTHS}
GROUPS = {
    "embedding_VD": "embedding",
    "position_LD": "position",
    "head_DV": "head",
    "router_DE": "router",
    "bucket_RK": "position",
}


def build(model: ModelConfig):
    return (Transformer if model.kind == "decoder" else EncoderDecoder)(model, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_that_flax_holds(name: str) -> None:
    model = SHAPES[name]
    parameters = nnx.eval_shape(lambda: build(model))
    by_group: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(parameters)))[0]:
        names = [key.key for key in path]
        if any(name.endswith("norm") for name in names):
            group = "norm"
        elif names[-1] in GROUPS:
            group = GROUPS[names[-1]]
        else:
            at = names[names.index("blocks") + 1]
            group = "experts" if names[-1].endswith(("EDF", "EFD")) else {"across": "attention"}.get(at, at)
        by_group[group] = by_group.get(group, 0) + leaf.size
    counted = counts.parameters(model)
    active, passed = counted.pop("active", None), counted.pop("experts_active", 0)
    assert counted.pop("total") == sum(by_group.values())
    assert counted == by_group
    if model.experts:
        assert passed * model.experts == by_group["experts"] * model.experts_chosen
        assert active == sum(by_group.values()) - by_group["experts"] + passed


PUBLISHED = {
    "gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200,
    "llama2-7b": 6_738_415_616, "llama2-13b": 13_015_864_320, "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248, "llama3-70b": 70_553_706_496, "mixtral-8x7b": 46_702_792_704,
    "gemma2-2b": 590_118_912 + 2_024_517_888, "gemma2-9b": 917_962_752 + 8_324_201_984,
    "gemma2-27b": 1_180_237_824 + 26_047_480_320, "t5-small": 60_506_624, "t5-base": 222_903_552,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_totals(name: str) -> None:
    assert counts.parameters(preset(name))["total"] == PUBLISHED[name]


def test_published_parts() -> None:
    embeddings = [counts.parameters(preset(f"gemma2-{size}"))["embedding"] for size in ("2b", "9b", "27b")]
    assert embeddings == [590_118_912, 917_962_752, 1_180_237_824]
    assert counts.parameters(preset("mixtral-8x7b"))["active"] == pytest.approx(12.9e9, rel=0.005)


@pytest.mark.parametrize("millions", [row[0] for row in presets.CHINCHILLA])
def test_the_sizes_of_chinchillas_table_a9(millions: int) -> None:
    """Printed in whole millions, gains of norms left out."""
    counted = counts.parameters(preset(f"chinchilla-{millions}m"))
    assert round((counted["total"] - counted["norm"]) / 1e6) == millions


@pytest.mark.parametrize(("name", "billions"), [
    ("gpt3-125m", 0.125), ("gpt3-350m", 0.356), ("gpt3-760m", 0.760), ("gpt3-1.3b", 1.316), ("gpt3-2.7b", 2.65),
    ("gpt3-6.7b", 6.66), ("gpt3-13b", 12.94), ("gpt3-175b", 174.6), ("chinchilla-70b", 70.0),
])  # fmt: skip
def test_sizes_that_papers_round(name: str, billions: float) -> None:
    """GPT-3's as its appendix D has them (table D.1), Chinchilla's as its title."""
    assert counts.parameters(preset(name))["total"] / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize("name", [n for n in presets.PRESETS if n.startswith("kaplan")])
def test_kaplans_size_without_embedding(name: str) -> None:
    """12·layers·D², biases and gains left out (Kaplan 2020, equation 2.1)."""
    model, counted = preset(name), counts.parameters(preset(name))
    rest = model.layers * 13 * model.width + 2 * model.width  # 9·D of biases and 4·D of norms a layer; the last norm
    assert counted["attention"] + counted["mlp"] + counted["norm"] == 12 * model.layers * model.width**2 + rest


def loss_of(model: ModelConfig):
    graph, params = nnx.split(nnx.eval_shape(lambda: build(model)))

    def loss(params, tokens):
        both = (tokens, tokens) if model.kind == "encoder-decoder" else (tokens,)
        return jnp.sum(jnp.square(nnx.merge(graph, params)(*both)))

    return loss, params


def multiplied(model: ModelConfig, length: int, batch: int) -> int:
    """Forward FLOPs that the program spends: unmasked attention, and every slot that a capacity leaves experts."""
    parts = counts.forward_flops(model, length, batch)
    instead = {"attention_causal": "attention_full", "experts": "experts_slots"}
    return sum(v for part, v in parts.items() if instead.get(part) not in parts)


FAST_SHAPES = [n for n in SHAPES if not n.startswith("quickstart") or n == "quickstart, width 48"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST_SHAPES else [pytest.mark.slow]) for n in SHAPES]
)
def test_flops_are_the_products_of_the_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax, "MAX_BLOCKS", 1)  # one block: the full square, which is counted too
    model, length, batch = SHAPES[name], 64, 2
    loss, params = loss_of(model)
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    full = multiplied(model, length, batch)
    assert dot_flops(loss, params, tokens) == full
    known = counts.forward_flops(model, length, batch).get("attention_distances", 0)  # sinusoids have no gradient
    assert dot_flops(jax.grad(loss), params, tokens) == 3 * full - known


def xla_over_ours(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(softmax, "MAX_BLOCKS", 1)
    loss, params = loss_of(model)
    tokens = jax.ShapeDtypeStruct((4, 128), jnp.int32)
    analysis = jax.jit(jax.grad(loss)).lower(params, tokens).cost_analysis()
    return analysis["flops"] / (3 * multiplied(model, 128, 4))


FAST_WIDTHS = (48, 96)  # below and above the bound of the test


@pytest.mark.parametrize(
    "width",
    [pytest.param(w, marks=[] if w in FAST_WIDTHS else [pytest.mark.slow]) for w in (*quickstart.WIDTHS, 256, 512)],
)
def test_flops_equal_xlas_own_count(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA counts elementwise work too: within 2% where products are wide, over by up to 6% at widths under 80."""
    assert 1 <= xla_over_ours(rules.model_at_width(width, 257), monkeypatch) < (1.02 if width >= 80 else 1.06)


@pytest.mark.parametrize("name", [n for n, config in ARCHITECTURES.items() if not config.experts or config.capacity])
def test_flops_of_every_architecture_equal_xlas_own_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a width where elementwise work is small. (Ragged products XLA spells out on a CPU, for every expert.)"""
    small = ARCHITECTURES[name]
    wide = replace(small, vocab=4096, width=1024, head_dim=None, mlp_width=small.mlp_width * 64)
    assert xla_over_ours(wide, monkeypatch) == pytest.approx(1, abs=0.01)


def test_causal_attention_counts_the_pairs_that_the_mask_lets_through() -> None:
    model, length = SHAPES["swiglu"], 10
    pairs = sum(1 for q in range(length) for k in range(length) if k <= q)
    per_pair = 2 * 2 * model.layers * model.heads * model.head
    assert counts.forward_flops(model, length)["attention_causal"] == pairs * per_pair


@pytest.mark.parametrize("window", [1, 3, 10, 11])
def test_a_window_counts_the_pairs_that_it_lets_through(window: int) -> None:
    model = replace(SHAPES["swiglu"], window=window, window_pattern="LG")
    local = sum(1 for q in range(10) for k in range(10) if 0 <= q - k < window)
    assert counts.forward_flops(model, 10)["attention_causal"] == (local + 55) * 4 * model.heads * model.head


def test_total_is_its_parts_and_grows_by_sequences() -> None:
    model = SHAPES["grouped"]
    first, ten = counts.training_flops(model, 32, 1), counts.training_flops(model, 32, 10)
    assert {k: 10 * v for k, v in first.items()} == ten
    parts = sum(v for k, v in first.items() if k != "total" and not k.startswith(counts.ALTERNATIVE_COUNTS))
    assert first["total"] == parts
    deeper = replace(model, layers=model.layers + 1)
    assert counts.training_flops(deeper, 32, 1)["head_forward"] == first["head_forward"]
