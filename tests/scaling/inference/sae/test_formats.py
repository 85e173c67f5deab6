"""Autoencoders of SAELens and Gemma Scope: the same outputs both ways, and refusals of damaged and unknown files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from scaling.config.run import RunConfig, run_id
from scaling.config.sae import SAE_KINDS
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError
from scaling.inference.huggingface.import_model import write_run
from scaling.inference.sae.formats.exchange import SaeImportOptions, export_sae, import_sae
from scaling.inference.sae.load import TrainedSae, load_sae
from scaling.models.sae.functions import decode, encode
from scaling.store.record import Record, Store
from scaling.store.sae_runs import sae_run
from tests.support.commands import ROOT, call_command
from tests.support.sae.known import random_params

WIDTH, LATENTS, SCALE = 16, 64, 0.37
X_BD = np.random.default_rng(3).normal(1.0, 2.0, (50, WIDTH)).astype(np.float32)
WEIGHTS, CONFIG, PARAMS = "sae_weights.safetensors", "cfg.json", "params.npz"


@pytest.fixture
def model(store: Store, tiny: RunConfig) -> Record:
    """The record of the model's run."""
    record = Record(run_id=run_id(tiny), config=tiny, status="done")
    store.write(record)
    return record


def saved_sae(store: Store, model: Record, kind: str, scale: float) -> tuple[str, dict[str, jnp.ndarray]]:
    """Saves an autoencoder that reads scaled activations; returns its run and parameters."""
    config = sae_run(model.config, {"kind": kind, "latents": LATENTS, "l0": 4, "layer": 1, "site": "mlp"})
    number = 2 * SAE_KINDS.index(kind) + (scale == 1)
    config = replace(config, steps=0, schedule=ScheduleConfig(), init=f"{number:064x}")
    arrays = random_params(WIDTH, LATENTS, seed=1)
    if config.sae is not None and config.sae.has_threshold:
        arrays["threshold"] = np.random.default_rng(2).uniform(0, 0.5, LATENTS)
    arrays |= {"scale": np.array(scale), "variance": np.array(1.0)}
    params = {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}
    record = Record(run_id=run_id(config), config=config, status="done", about={"precision": "float32"})
    write_run(store, record, params)
    return record.run_id, params


def expected_output(kind: str, params: dict[str, jnp.ndarray]) -> np.ndarray:
    """The output in the unit of the activations, by the parameters for scaled ones."""
    return np.asarray(decode(params, encode(params, kind, X_BD * params["scale"], 4)) / params["scale"])


def output(sae: TrainedSae) -> np.ndarray:
    return np.asarray(sae.decode(sae.encode(jnp.asarray(X_BD))))


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", SAE_KINDS)
def test_an_exported_autoencoder_is_imported_with_the_same_function_and_the_scale_folded_in(
    store: Store, model: Record, tmp_path: Path, kind: str
) -> None:
    run, params = saved_sae(store, model, kind, SCALE)
    expected = expected_output(kind, params)
    for name in ("sae-lens", "gemma-scope")[: 1 if kind == "topk" else 2]:
        folder = tmp_path / name
        export_sae(store, run, folder, name)
        is_lens = name == "sae-lens"
        place = {} if is_lens else {"layer": 1, "site": "mlp", "l0": 4.0}
        record, is_new = import_sae(store, folder, SaeImportOptions(model=model.run_id, **place))  # type: ignore[arg-type]
        assert is_new and record.config.steps == 0 and record.config.init is not None
        sae = record.config.sae
        assert sae is not None and (sae.layer, sae.site, sae.l0, sae.model_run) == (1, "mlp", 4, model.run_id)
        assert sae.kind == (kind if is_lens else "jumprelu")
        assert_close(output(load_sae(store, record.run_id)), expected)
        assert not import_sae(store, folder, SaeImportOptions(model=model.run_id, **place))[1]  # type: ignore[arg-type]
        if not is_lens:  # the published formula
            data = np.load(folder / PARAMS)
            z_Bn = X_BD @ data["W_enc"] + data["b_enc"]
            assert_close((z_Bn > data["threshold"]) * np.maximum(z_Bn, 0) @ data["W_dec"] + data["b_dec"], expected)
    if kind == "topk":
        with pytest.raises(ConfigError, match=r"threshold per latent: must be relu, jumprelu or batch-topk"):
            export_sae(store, run, tmp_path / "other", "gemma-scope")
        assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".other*"))


def with_config(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


def with_metadata(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        metadata = json.loads((folder / CONFIG).read_text())["metadata"]
        with_config(metadata={**metadata, **fields})(folder)

    return change


def with_tensors(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return apply


def truncated(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9]) and None


def set_nan(tensors: dict[str, np.ndarray]) -> None:
    tensors["W_dec"][3, 4] = np.nan


LENS_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda folder: (folder / CONFIG).unlink(), r"must be a folder with cfg.json"),
    "config": (lambda folder: (folder / CONFIG).write_text("{"), r"cfg.json: not JSON"),
    "list": (lambda folder: (folder / CONFIG).write_text("[]"), r"cfg.json: must be an object"),
    "architecture": (with_config(architecture="gated"), r"architecture 'gated': must be one of standard, topk, jump"),
    "activation": (with_config(activation_fn="tanh-relu"), r"activation function 'tanh-relu': must be relu or topk"),
    "norm": (with_config(normalize_activations="layer_norm"), r"normalize_activations 'layer_norm': must be none"),
    "scale": (
        with_config(normalize_activations="expected_average_only_in"), r"must be none: fold the factor into the",
    ),
    "heads": (with_config(reshape_activations="hook_z"), r"reshape_activations 'hook_z'.*no site"),
    "size": (with_config(d_sae=-1), r"d_sae -1: must be a whole number"),
    "huge": (with_config(d_sae=2**40), r"d_sae 1099511627776: must be a whole number"),
    "width": (with_config(d_in=8), r"d_in 8: must be the width of the model, 16"),
    "latents": (with_config(d_sae=32), r"W_enc has shape \[16, 64\]: must be \[16, 32\]"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), r"sae_weights.safetensors: missing"),
    "cut": (truncated(WEIGHTS), r"sae_weights.safetensors: damaged"),
    "nan": (with_tensors(set_nan), r"W_dec has 1 values that are not finite"),
    "missing": (with_tensors(lambda t: t.pop("b_enc")), r"has no b_enc: must have W_enc, b_enc, W_dec, b_dec, thr"),
    "more": (with_tensors(lambda t: t.update(a=t["b_dec"])), r"has 'a': must have W_enc"),
    "integer": (with_tensors(lambda t: t.update(b_dec=np.zeros(16, int))), r"b_dec has type I64: must be one of"),
    "other model": (with_metadata(model_name="0" * 64), r"an autoencoder of run 000000000000: --model is run"),
    "no l0": (with_metadata(l0=None), r"states no number of active latents per token: give --l0"),
    "l0": (with_metadata(l0="many"), r"number of active latents 'many': must be a number"),
    "no layer": (with_metadata(hook_name="model.layers.1.mlp"), r"names no layer: give --layer"),
    "layer": (with_metadata(hook_name="blocks.7.hook_mlp_out"), r"layer = 7: the model has layers 0 to 1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Folders `sae-lens` and `gemma-scope` of a jumprelu autoencoder."""
    from scaling.inference.sae.formats import gemma_scope, sae_lens
    from scaling.inference.sae.formats.weights import SaeWeights

    arrays = {name: array.astype(np.float32) for name, array in random_params(WIDTH, LATENTS).items()}
    arrays["threshold"] = np.full(LATENTS, 0.1, np.float32)
    folder = tmp_path_factory.mktemp("exported")
    for name, write in (("sae-lens", sae_lens.write_sae_lens), ("gemma-scope", gemma_scope.write_gemma_scope)):
        (folder / name).mkdir()
        write(folder / name, SaeWeights("jumprelu", arrays, 4.0, 1, "mlp"))
    return folder


@pytest.mark.parametrize("name", LENS_FAULTS)
def test_a_faulty_folder_of_saelens_is_one_line(
    store: Store, model: Record, exported: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(exported / "sae-lens", tmp_path / "sae")
    change, message = LENS_FAULTS[name]
    change(tmp_path / "sae")
    with pytest.raises(ConfigError, match=message) as error:
        import_sae(store, tmp_path / "sae", SaeImportOptions(model=model.run_id))
    assert "\n" not in str(error.value)


def rewritten(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        arrays = dict(np.load(path))
        change(arrays)
        np.savez(path, **arrays)  # type: ignore[arg-type]

    return apply


def pickled(path: Path) -> None:
    np.savez(path, W_enc=np.array([{}], dtype=object), allow_pickle=True)


GEMMA_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-40]), r"params.npz: not a readable .npz file"),
    "text": (lambda path: path.write_text("text"), r"params.npz: not a readable .npz file"),
    "pickle": (pickled, r"W_enc.npy has type object: must be one of float16, float32, float64"),
    "missing": (rewritten(lambda a: a.pop("threshold")), r"has no threshold"),
    "shape": (rewritten(lambda a: a.update(b_enc=np.zeros(5, "f4"))), r"b_enc has shape \[5\]: must be \[64\]"),
    "width": (rewritten(lambda a: a.update(b_dec=np.zeros(5, "f4"))), r"b_dec has shape \[5\]: must be \[16\]"),
    "infinite": (rewritten(lambda a: a["b_dec"].fill(np.inf)), r"b_dec has 16 values that are not finite"),
    "no l0": (lambda path: None, r"states no number of active latents per token: give --l0"),
}


@pytest.mark.parametrize("name", GEMMA_FAULTS)
def test_a_faulty_file_of_gemma_scope_is_one_line(
    store: Store, model: Record, exported: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(exported / "gemma-scope" / PARAMS, tmp_path / PARAMS)
    change, message = GEMMA_FAULTS[name]
    change(tmp_path / PARAMS)
    with pytest.raises(ConfigError, match=message) as error:
        import_sae(store, tmp_path / PARAMS, SaeImportOptions(model=model.run_id, layer=0))
    assert "\n" not in str(error.value)


def test_the_l0_of_a_folder_of_gemma_scope_is_that_of_its_name(
    store: Store, model: Record, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "layer_1" / "width_64" / "average_l0_12"
    shutil.copytree(exported / "gemma-scope", folder)
    record, _ = import_sae(store, folder, SaeImportOptions(model=model.run_id, layer=1))
    assert record.config.sae is not None and record.config.sae.l0 == 12


def test_options_that_contradict_the_files_are_refused(store: Store, model: Record, exported: Path) -> None:
    folder = exported / "sae-lens"
    with pytest.raises(ConfigError, match=r"--layer 0: .* says 1"):
        import_sae(store, folder, SaeImportOptions(model=model.run_id, layer=0))
    with pytest.raises(ConfigError, match=r"--site residual: .* says mlp"):
        import_sae(store, folder, SaeImportOptions(model=model.run_id, site="residual"))
    with pytest.raises(ConfigError, match=r"--site = .head.: must be one of"):
        SaeImportOptions(model=model.run_id, site="head")


def test_the_commands_print_the_run_and_refuse_in_one_line(store: Store, model: Record, tmp_path: Path) -> None:
    run, _ = saved_sae(store, model, "jumprelu", SCALE)
    out = tmp_path / "out"
    exported = call_command("scaling", "sae", "export", run[:12], "--store", store.root, "--out", out)
    assert exported.returncode == 0 and f"of run {run} after 0 steps" in exported.stdout
    imported = call_command("scaling", "sae", "import", out, "--store", store.root, "--model", model.run_id, "--json")
    facts = json.loads(imported.stdout)
    assert facts["new"] and (facts["kind"], facts["layer"], facts["site"], facts["l0"]) == ("jumprelu", 1, "mlp", 4.0)
    assert set(facts["files"]) == {CONFIG, WEIGHTS} and store.read(facts["run_id"]) is not None
    for arguments, message in (
        (("export", run, "--out", out), "exists already: choose another folder"),
        (("export", run, "--out", tmp_path / "a", "--format", "other"), "must be one of sae-lens, gemma-scope"),
        (("export", model.run_id, "--out", tmp_path / "a"), "a model: must be a sparse autoencoder"),
        (("import", out, "--model", run), "an autoencoder: must be the run of a model"),
        (("import", tmp_path / "none", "--model", model.run_id), "must be a folder with cfg.json"),
    ):
        refused = call_command("scaling", "sae", *arguments, "--store", store.root)
        assert refused.returncode == 2 and message in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_saelens_and_scaling_compute_the_same_with_the_files_of_each_other(
    store: Store, model: Record, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", X_BD)
    expected = {}
    for kind in SAE_KINDS:
        for scale in (1.0, SCALE):
            name = f"{kind}-{scale}"
            run, params = saved_sae(store, model, kind, scale)
            export_sae(store, run, tmp_path / "ours" / name, "sae-lens")
            expected[name] = expected_output(kind, params)
    command = [sys.executable, "-m", "tests.scaling.inference.sae.sae_lens_process", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name, values in expected.items():
        assert_close(np.load(tmp_path / "out" / f"ours-{name}.npz")["output"], values)
    theirs = sorted((tmp_path / "theirs").iterdir())
    assert [path.name for path in theirs] == [
        "batchtopk", "jumprelu", "jumprelu-plain", "standard", "topk", "topk-plain",
    ]  # fmt: skip
    for path in theirs:
        record, _ = import_sae(store, path, SaeImportOptions(model=model.run_id))
        assert record.config.sae is not None and (record.config.sae.layer, record.config.sae.site) == (1, "mlp")
        assert record.config.sae.kind == re.sub(
            "standard", "relu", path.name.removesuffix("-plain").replace("batchtopk", "batch-topk")
        )
        sae, results = load_sae(store, record.run_id), np.load(tmp_path / "out" / f"theirs-{path.name}.npz")
        latents = np.asarray(sae.encode(jnp.asarray(X_BD)))
        assert 0 < np.count_nonzero(latents) < latents.size
        assert_close(latents, results["latents"])
        assert_close(output(sae), results["output"])
