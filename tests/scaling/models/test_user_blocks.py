"""Blocks in a user's file: counted exactly, trained, resumed, packed, branched and read like those of the package."""

import contextlib
import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.__main__ import main
from scaling.config.model import ModelConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig, dumps, override, resolve_code, run_id
from scaling.config.user_code import UserCodeError
from scaling.config.user_code.blocks import _codes, resolve_blocks, use_code
from scaling.config.validation import ConfigError
from scaling.counting import counts
from scaling.inference.load import load_model
from scaling.inference.options import GREEDY
from scaling.inference.sampling import generate
from scaling.inference.texts import generate_texts
from scaling.models.transformer import Transformer
from scaling.program.optimizer import make_optimizer
from scaling.store.record import Store
from scaling.training.packs.loop import train_pack
from tests.support.models import BASE, dot_flops
from tests.support.training import STEPWISE, assert_same_run, train_run

COPIES = """
from scaling.models.attention.attention import Attention
from scaling.models.mlp import GatedMLP
from scaling.models.norm import RMSNorm


class MyAttention(Attention):
    pass


class MyMLP(GatedMLP):
    def __init__(self, config, *, rngs):
        super().__init__(config, width=config.mlp_width, rngs=rngs)
        self.kind = "swiglu"


class MyNorm(RMSNorm):
    def __init__(self, config):
        super().__init__(config.width, config.norm_eps)
"""
MIXERS = """
import jax
import jax.numpy as jnp
from flax import nnx


class Mean(nnx.Module):
    def __init__(self, config, *, rngs):
        self.mix_DD = nnx.Param(config.width**-0.5 * jax.random.normal(rngs.params(), (config.width, config.width)))

    def __call__(self, x_BLD, token_positions, window):
        n_L1 = jnp.arange(1, x_BLD.shape[1] + 1, dtype=x_BLD.dtype)[:, None]
        return jnp.cumsum(x_BLD @ self.mix_DD[...].astype(x_BLD.dtype), axis=1) / n_L1[None]


class Linear(nnx.Module):
    def __init__(self, config, *, rngs):
        self.inner = nnx.Linear(config.width, config.width, use_bias=False, dtype=None, rngs=rngs)

    def __call__(self, x_BLD):
        return self.inner(x_BLD).astype(x_BLD.dtype)


class Shift(Linear):
    def __call__(self, x_BLD):
        return super().__call__(jnp.pad(x_BLD, ((0, 0), (1, 0), (0, 0)))[:, :-1])


class Scans(Linear):
    def __call__(self, x_BLD):
        kernel_DD = self.inner.kernel[...].astype(x_BLD.dtype)
        return jax.lax.scan(lambda x, _: (jax.jit(jnp.matmul)(x, kernel_DD), None), x_BLD, length=5)[0]


class Promotes(Linear):
    def __call__(self, x_BLD):
        return self.inner(x_BLD)


class Narrow(Linear):
    def __call__(self, x_BLD):
        return x_BLD[..., 1:]


class Loops(Linear):
    def __call__(self, x_BLD):
        return jax.lax.while_loop(lambda x: jnp.sum(x) > 0, super().__call__, x_BLD)


class Fails(Linear):
    def __call__(self, x_BLD):
        return x_BLD @ self.inner.kernel[1:]


class Drops(nnx.Module):
    def __init__(self, config, *, rngs):
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x_BLD):
        return self.dropout(x_BLD)


def function(config):
    return None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files of blocks, which this process has not been told of."""
    for name in list(_codes):
        monkeypatch.delitem(_codes, name)
    (tmp_path / "copies.py").write_text(COPIES)
    (tmp_path / "mixers.py").write_text(MIXERS)
    return tmp_path


def with_blocks(folder: Path, model: ModelConfig, **blocks: str) -> ModelConfig:
    """The model with blocks of the files, as `--code` and a config give them."""
    use_code([str(folder / "copies.py"), str(folder / "mixers.py")])
    return resolve_blocks(dataclasses.replace(model, **blocks))


def test_products_inside_scans_and_jitted_functions_are_counted(folder: Path) -> None:
    once, five_times = (
        counts.forward_flops(with_blocks(folder, BASE, mlp=f"mixers.py:{name}"), 16)["mlp"]
        for name in ("Linear", "Scans")
    )
    assert once == BASE.layers * 16 * 2 * BASE.width**2 and five_times == 5 * once


@pytest.mark.parametrize("window", [None, 5])
def test_copies_of_the_packages_blocks_have_its_counts(folder: Path, window: int | None) -> None:
    model = dataclasses.replace(BASE, window=window, layers=3)
    own = with_blocks(folder, model, attention="copies.py:MyAttention", mlp="copies.py:MyMLP", norm="copies.py:MyNorm")
    assert counts.parameters(own) == counts.parameters(model)
    theirs, mine = counts.forward_flops(model, 64, batch=3), counts.forward_flops(own, 64, batch=3)
    assert mine.pop("attention") == theirs["attention_projections"] + theirs["attention_full"]
    assert mine == {name: theirs[name] for name in ("mlp", "head")}


def test_counts_of_other_blocks_are_what_flax_holds_and_xla_multiplies(folder: Path) -> None:
    model = with_blocks(folder, BASE, attention="mixers.py:Mean", mlp="mixers.py:Linear")
    abstract = nnx.eval_shape(lambda: Transformer(model, rngs=nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.state(abstract))
    assert counts.parameters(model)["total"] == sum(math.prod(leaf.shape) for leaf in leaves)
    graph, state = nnx.split(abstract)
    tokens_BL = jax.ShapeDtypeStruct((2, 16), jnp.int32)
    multiplied = dot_flops(lambda state, tokens: nnx.merge(graph, state)(tokens), state, tokens_BL)
    assert sum(counts.forward_flops(model, 16, batch=2).values()) == multiplied


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Promotes", r"returns float32 \(1, 16, 32\) for bfloat16 .*: must return the shape and the type of its input"),
        ("Narrow", r"returns bfloat16 \(1, 16, 31\)"),
        ("Loops", "FLOPs cannot be counted: matrix products inside while"),
        ("Fails", r"mixers\.py, line \d+: TypeError: dot_general requires"),
        ("Drops", "has variables of type Rng.*: must have nnx.Param only"),
        ("function", r"is function: must be a class of flax.nnx.Module: mixers\.py has|is function: must be a class"),
        ("Missing", "has no Missing: it has Mean, Linear"),
    ],
)
def test_a_block_that_does_not_fit_says_why(folder: Path, name: str, message: str) -> None:
    model = with_blocks(folder, BASE, mlp=f"mixers.py:{name}")
    with pytest.raises(UserCodeError, match=message):
        counts.forward_flops(model, 16)


def test_blocks_that_cannot_be_combined_are_refused(folder: Path) -> None:
    for changes, message in (
        ({"experts": 4}, "ModelConfig.mlp = 'copies.py:MyMLP': must be one of .* with experts"),
        ({"kind": "encoder", "positions": "buckets"}, "blocks of your own are for decoders, not 'encoder'"),
        ({"mlp": "no_such"}, "must be one of swiglu, .*, or FILE.py:NAME"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(BASE, **{"mlp": "copies.py:MyMLP", **changes})
    mup = with_blocks(folder, dataclasses.replace(BASE, parametrization="mup", base_width=16), mlp="copies.py:MyMLP")
    for block, message in (("copies.py:MyMLP", None), ("mixers.py:Linear", "name it gate_DF, up_DF, down_FD")):
        model = with_blocks(folder, mup, mlp=block)
        params = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda model=model: Transformer(model, rngs=nnx.Rngs(0)))))
        transform = make_optimizer(OptimizerConfig(lr=0.1), model)
        expected = contextlib.nullcontext() if message is None else pytest.raises(ConfigError, match=message)
        with expected:
            jax.eval_shape(lambda params, t=transform: t.update(params, t.init(params), params), params)


def own_run(folder: Path, tiny: RunConfig, **blocks: str) -> RunConfig:
    """The run with blocks of the files."""
    return dataclasses.replace(tiny, model=with_blocks(folder, tiny.model, **blocks))


@pytest.mark.slow
def test_a_copy_of_the_packages_blocks_trains_to_the_same_losses(
    folder: Path, store: Store, second_store: Store, tiny: RunConfig
) -> None:
    own = own_run(folder, tiny, attention="copies.py:MyAttention", mlp="copies.py:MyMLP", norm="copies.py:MyNorm")
    assert run_id(own) != run_id(tiny)
    first, second = train_run(tiny, store), train_run(own, second_store)
    assert first.final == second.final and first.params == second.params
    assert store.curve(run_id(tiny)) == second_store.curve(run_id(own))


@pytest.mark.slow
def test_a_run_with_own_blocks_resumes_branches_and_packs_bit_for_bit(
    folder: Path, store: Store, second_store: Store, tiny: RunConfig
) -> None:
    own = own_run(folder, tiny, attention="mixers.py:Mean", mlp="mixers.py:Linear")
    assert train_run(own, store, stop_after=9).status == "stopped"
    resumed = train_run(own, store)
    assert resumed.about["started_from"]["step"] == 9
    train_run(own, second_store)
    assert_same_run(store, second_store, own)
    longer = override(own, ["steps=30"])
    assert train_run(longer, store).about["started_from"]["shared"]
    train_run(longer, second_store, dataclasses.replace(STEPWISE, share=False))
    assert_same_run(store, second_store, longer)
    others = [override(own, [f"seed={seed}"]) for seed in (1, 2)]
    pack = dataclasses.replace(STEPWISE, data=0, run=1, share=False)
    done = train_pack(others, store, pack, sweep=None, emit=lambda event: None, should_stop=lambda: False)
    assert [record.status for record in done] == ["done", "done"]
    for config in others:
        train_run(config, second_store)
        packed, alone = (s.curve(run_id(config)) for s in (store, second_store))
        np.testing.assert_allclose(
            [row["loss"] for row in packed], [row["loss"] for row in alone], rtol=1e-5
        )  # fmt: skip


@pytest.mark.slow
def test_a_trained_run_is_read_only_with_its_code(
    folder: Path, store: Store, tiny: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    own = own_run(folder, tiny, mlp="mixers.py:Linear")
    train_run(own, store)
    name, where = run_id(own), ["--store", str(store.root)]
    _codes.clear()
    reads = (
        ["generate", name, "--prompt", "a", "--tokens", "3"],
        ["evaluate", name, "--tasks", "copying-2", "--items", "2"],
        ["attention", name, "--prompt", "abc", "--out", str(folder / "a.json")],
        ["activations", name, "--layer", "0", "--tokens", "50", "--out", str(folder / "a.npy")],
    )  # fmt: skip
    for line in reads:
        assert main([*line, *where]) == 2
        assert f"model.mlp is {own.model.mlp}: give --code mixers.py to use this file" in capsys.readouterr().err
    for line in reads:
        assert main([*line, *where, "--code", str(folder / "mixers.py")]) == 0
    (folder / "mixers.py").write_text(MIXERS + "# edited\n")
    assert main([*reads[0], *where, "--code", str(folder / "mixers.py")]) == 2
    assert "has other content" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("mlp", "cached"), [("mixers.py:Linear", True), ("mixers.py:Shift", False)])
def test_text_is_generated_with_a_cache_only_where_that_gives_the_same(
    folder: Path, store: Store, tiny: RunConfig, capsys: pytest.CaptureFixture[str], mlp: str, cached: bool
) -> None:
    own = own_run(folder, tiny, mlp=mlp)
    train_run(own, store)
    model = load_model(store, run_id(own))
    texts = [generate_texts(model, ["def "], 8, GREEDY, cache=cache)[0].tokens for cache in (True, False)]
    assert texts[0] == texts[1]
    assert ("cannot be cached" in capsys.readouterr().err) is not cached
    prompts = [np.array([1, 2, 3], np.int32)]
    with contextlib.nullcontext() if cached else pytest.raises(ConfigError, match="mixes tokens"):
        list(generate(model, prompts, 2, GREEDY))


@pytest.mark.slow
def test_an_error_while_training_is_recorded_with_its_line(folder: Path, store: Store, tiny: RunConfig) -> None:
    path = folder / "late.py"
    path.write_text(
        COPIES + "\n    def __call__(self, x):\n        assert x.dtype != 'float32', 'no float32'\n        return x\n"
    )
    use_code([str(path)])
    config = resolve_code(override(tiny, ["model.norm=late.py:MyNorm"]))
    with pytest.raises(UserCodeError, match=r"late\.py, line 22: AssertionError: no float32"):
        train_run(config, store)
    record = store.read(run_id(config))
    assert record is not None and record.status == "failed" and "late.py, line 22" in record.about["error"]


@pytest.mark.slow
def test_the_command_trains_with_a_block_that_set_names(folder: Path, store: Store, tiny: RunConfig) -> None:
    path = folder / "run.json"
    path.write_text(dumps(override(tiny, ["steps=4", "schedule.warmup=1"])))
    line = ["train", str(path), "--store", str(store.root), "--set", f"model.mlp={folder}/copies.py:MyMLP"]
    assert main(line) == 0
    [record] = store.records()
    assert record.status == "done" and record.config.model.mlp.startswith("copies.py:MyMLP@")
    assert json.loads((store.run_dir(record.run_id) / "config.json").read_text())["model"]["mlp"].count("@") == 1
