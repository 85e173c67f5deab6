"""Looking inside: what is shown is what the forward pass computes."""

import csv
import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from flax import nnx

from analysis.errors import DataError
from analysis.figures import save
from analysis.figures.options import FigureOptions
from scaling.commands.models import internals as commands
from scaling.config.run import RunConfig
from scaling.data import windows
from scaling.data.tokens import find_tokens, open_tokens
from scaling.inference.activations import (
    BATCH_SEQUENCES,
    attention_maps,
    collect_activations,
    edited_logits,
    sites_activations,
)
from scaling.inference.load import load_model
from scaling.inference.sites import Site, SiteEdit
from scaling.store.record import Store
from tests.support.commands import call_command
from tests.support.models import DECODERS, FAST_COMPILE, VARIANTS, random_tokens, untrained_run
from tests.support.training import train_run

FEW = ("swiglu", "sinusoidal, post-norm", "local and global, capped, sandwich", "experts, capacity, shared")


def at_sites(name: str, x: np.ndarray) -> tuple[dict[tuple[int, str], np.ndarray], nnx.Module]:
    """Activations of both layers at every site, and the model."""
    model_run = untrained_run(VARIANTS[name])
    graph, params = model_run.graph, model_run.params

    @functools.partial(jax.jit, compiler_options=FAST_COMPILE)
    def every(params):
        sites = [(layer, site) for layer in (0, 1) for site in ("residual", "attention", "mlp")]
        return {
            at: sites_activations(graph, model_run.config, model_run.dtype, [Site(*at)], params, x)[0] for at in sites
        }

    return every(params), nnx.merge(graph, params)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FEW else [pytest.mark.slow]) for n in DECODERS])
def test_activations_are_the_forward_passes(name: str) -> None:
    """Read on, the last layer's stream gives the model's logits; and a stream is the sum of what was added to it."""
    x = random_tokens((2, 24))
    activations_at, model = at_sites(name, x)
    logits = jax.jit(
        lambda: model.logits(model.head_inputs(activations_at[1, "residual"])), compiler_options=FAST_COMPILE
    )()
    np.testing.assert_allclose(logits, jax.jit(lambda: model(x), compiler_options=FAST_COMPILE)(), rtol=1e-5, atol=2e-5)
    if VARIANTS[name].norm_placement != "post":
        summed = activations_at[0, "residual"] + activations_at[1, "attention"] + activations_at[1, "mlp"]
        np.testing.assert_allclose(activations_at[1, "residual"], summed, rtol=1e-5, atol=1e-5)
    assert min(float(np.std(values)) for values in activations_at.values()) > 1e-3


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == FEW[2] else [pytest.mark.slow]) for n in DECODERS])
def test_an_edit_replaces_one_site_and_nothing_else(name: str) -> None:
    """Without a change of the activations the logits are the model's own; the replaced ones are what is read."""
    model_run, x = untrained_run(replace(VARIANTS[name], capacity=None)), random_tokens((2, 24))

    @functools.partial(jax.jit, compiler_options=FAST_COMPILE)
    def every(params: Any) -> Any:
        logits = functools.partial(edited_logits, model_run.graph, model_run.config, model_run.dtype)
        read: dict[Site, list[jax.Array]] = {}
        same = {}
        for site in (Site(0, "attention"), Site(0, "mlp"), Site(1, "residual")):
            values = read.setdefault(site, [])
            same[site] = logits(SiteEdit(site, lambda x, values=values: values.append(x) or x), params, x)
        sites = sites_activations(model_run.graph, model_run.config, model_run.dtype, list(read), params, x)
        plain = sites_activations(model_run.graph, model_run.config, model_run.dtype, [Site(1, "residual")], params, x)
        model = nnx.merge(model_run.graph, params)
        zero = logits(SiteEdit(Site(1, "residual"), jnp.zeros_like), params, x)
        head = model.logits(model.head_inputs(jnp.zeros_like(plain[0])))
        return list(same.values()), model(x), [v[0] for v in read.values()], list(sites), zero, head

    same, own, read, sites, zero, head = every(model_run.params)
    for logits in same:
        np.testing.assert_allclose(logits, own, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.stack(read), np.stack(sites), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(zero, head, rtol=1e-6, atol=1e-6)
    assert np.abs(np.asarray(zero) - np.asarray(own)).max() > 1e-2


@pytest.mark.parametrize("name", ["alibi, grouped, no gate", "local", "relative"])
def test_maps_are_causal_and_their_rows_sum_to_one(name: str) -> None:
    model_run = untrained_run(VARIANTS[name])
    weights = attention_maps(model_run, random_tokens((12,)), 1)
    assert weights.shape == (4, 12, 12) and weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    i, j = np.indices((12, 12))
    unseen = (j > i) | (i - j >= (model_run.model.window or 12))
    assert (weights[:, unseen] == 0).all() and (weights[:, ~unseen] > 0).all()


def test_files_hold_what_the_run_computes_on_its_own_text(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    run = train_run(tiny, store).run_id
    model_run, text = load_model(store, run), open_tokens(find_tokens(store.token_files, tiny.data.tokens))
    count, site = 32 * BATCH_SEQUENCES + 40, Site(1, "mlp")
    words = (run[:8], "--store", store.root, "--layer", 1, "--site", "mlp", "--tokens", count)
    for name in ("x.npy", "deep/x.parquet"):
        done = call_command("scaling", "activations", *words, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    values = np.load(tmp_path / "x.npy")
    table = pq.read_table(tmp_path / "deep" / "x.parquet")
    about = json.loads((tmp_path / "x.npy.json").read_text())
    assert values.shape == (count, 16) and about["step"] == 20 and (about["layer"], about["site"]) == (1, "mlp")
    assert json.loads(table.schema.metadata[b"scaling"]) == about
    np.testing.assert_array_equal(np.stack(table["activation"].to_numpy()), values)
    read = windows.training_windows(text, seed=0, length=32, rows=np.arange(BATCH_SEQUENCES + 2))[:, :-1]
    np.testing.assert_array_equal(table["token"], read.reshape(-1)[:count])
    assert table["position"].to_pylist()[30:34] == [30, 31, 0, 1] and table["sequence"][33].as_py() == 1
    graph, place = model_run.graph, slice(3 * 32, 4 * 32)
    alone = jax.jit(lambda p: sites_activations(graph, tiny, model_run.dtype, (site,), p, read[3:4])[0])(
        model_run.params
    )
    np.testing.assert_allclose(values[place], alone[0], atol=1e-5)
    parts = list(collect_activations(model_run, text, site, count=count))
    assert [len(part) for part, _ in parts] == [32 * BATCH_SEQUENCES, 40]
    done = call_command("scaling", "activations", *words[:-1], 1e12, "--out", tmp_path / "y.npy")
    assert done.returncode == 2 and "the train split has" in done.stderr and not list(tmp_path.glob("*y.npy*"))


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_file_that_is_cut_short_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    def cut():
        yield np.zeros((5, 3), np.float32), np.zeros(5, np.int32)
        raise KeyboardInterrupt

    out = tmp_path / f"x{suffix}"
    out.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        commands.WRITERS[suffix](out, {"count": 10, "width": 3, "length": 4}, cut())
    assert out.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == [out.name]


def test_the_attention_command_writes_maps_and_says_how_to_draw_them(
    store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    run = train_run(tiny, store).run_id
    words = ("attention", run, "--store", store.root, "--prompt", "def é(")
    for name in ("maps.json", "maps.npz"):
        done = call_command("scaling", *words, "--layer", 1, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "maps.json").read_text())
    weights = np.array(result["weights"], np.float32)
    assert weights.shape == (2, 7, 7) and result["pieces"][:4] == list("def ") and result["layer"] == 1
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "maps.npz")["weights"], weights)
    done = call_command("scaling", *words, "--out", tmp_path / "maps.png")
    assert done.returncode == 2 and "python -m analysis figure attention" in done.stderr
    done = call_command("scaling", *words, "--layer", 2, "--out", tmp_path / "no.json")
    assert done.returncode == 2 and "layers 0 to 1" in done.stderr and not (tmp_path / "no.json").exists()


def maps(length: int, heads: int) -> dict:
    weights = np.tril(np.random.default_rng(0).random((heads, length, length)))
    weights /= weights.sum(axis=-1, keepdims=True)
    pieces = ["a", " ", "$x", "\\", "\n", "\ufffd", "字", "é"] * length
    return {"tokens": list(range(length)), "pieces": pieces[:length], "weights": weights.tolist()}


@pytest.mark.parametrize(("kind", "heads", "length"), [("pdf", 2, 9), ("svg", 1, 3), ("png", 12, 60)])
def test_maps_are_drawn_with_their_numbers_beside_them(tmp_path: Path, kind: str, heads: int, length: int) -> None:
    text = maps(length, heads)
    (tmp_path / "maps.json").write_text(json.dumps(text))
    options = FigureOptions(width="text" if heads > 1 else "column")
    save.save_figure(tmp_path / "maps.json", "attention", tmp_path / f"maps.{kind}", options)
    with (tmp_path / "maps.data.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == min(heads, 8) * length**2
    shown = {(row["series"], int(float(row["y"])), int(float(row["x"]))): row["mark"] for row in rows}
    assert shown["head 0", 2, 1] == f"share {text['weights'][0][2][1]:.6g}"


def test_a_file_without_maps_is_one_line(tmp_path: Path) -> None:
    odd = maps(4, 1) | {"weights": [[[1.0, 1.0], [0.0, 1.0]]]}
    for text in ("N,D,L\n1,2,3\n", "[]", json.dumps(odd)):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(DataError, match="has no attention maps") as error:
            save.save_figure(tmp_path / "x.json", "attention", tmp_path / "x.png")
        assert "\n" not in str(error.value)
