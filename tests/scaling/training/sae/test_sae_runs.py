"""Runs of sparse autoencoders: resume, packs, refusals, and what they find in activations of a known dictionary."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError
from scaling.inference.sae.activation_file import add_activation_file
from scaling.inference.sae.load import load_sae
from scaling.program import checkpoint
from scaling.program.sae.program import build_sae_program
from scaling.store.files import StoreError
from scaling.store.record import Store
from scaling.store.sae_runs import activations_template, sae_run
from scaling.training.sae.loop import train_saes
from scaling.training.sae.stream import open_stream
from tests.support.commands import ROOT, call_command
from tests.support.sae.activations import noise_floor, recovered_share, write_activations
from tests.support.training import train_run

PLACEMENT = Placement(save_seconds=1e9)


def file_run(store: Store, path: Path, fields: dict[str, object], **options: object) -> RunConfig:
    name, width = add_activation_file(store, path)
    sae = {"model_run": None, "layer": 0, "kind": "topk", "latents": 48, "l0": 4, **fields}
    return sae_run(activations_template(name, width, path), sae, batch_tokens=256, **options)  # type: ignore[arg-type]


def run_state(store: Store, config: RunConfig) -> list[np.ndarray]:
    """The whole state after the last step."""
    path = checkpoint.checkpoint_path(store.run_dir(run_id(config)) / "checkpoints", config, config.steps)
    tree, _ = checkpoint.restore_checkpoint(path, build_sae_program(config, PLACEMENT)[0].abstract)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same(a: Store, b: Store, config: RunConfig) -> None:
    assert a.curve(run_id(config)) == b.curve(run_id(config))
    records = [store.read(run_id(config)) for store in (a, b)]
    assert records[0] is not None and records[1] is not None and records[0].final == records[1].final
    for x, y in zip(run_state(a, config), run_state(b, config), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def model_and_saes(store: Store, tiny: RunConfig) -> list[RunConfig]:
    """A trained model, and the runs of four autoencoders that read it: two shapes, two sites."""
    train_run(tiny, store)
    shapes = [(0, "residual", "topk"), (1, "mlp", "topk"), (1, "mlp", "jumprelu"), (0, "attention", "batch-topk")]
    return [
        dataclasses.replace(
            sae_run(tiny, {"layer": layer, "site": site, "kind": kind, "latents": 24, "l0": 3, "buffer": 4},
                    tokens=14 * 128, batch_tokens=128),
            eval=dataclasses.replace(tiny.eval, every=8),
        )
        for layer, site, kind in shapes
    ]  # fmt: skip


def test_a_run_stopped_and_resumed_alone_equals_one_of_a_pack_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig, model_and_saes: list[RunConfig]
) -> None:
    train_run(tiny, second_store)
    records = train_saes(model_and_saes, store, PLACEMENT)
    assert [record.status for record in records] == ["done"] * 4
    for config in model_and_saes[:1] + model_and_saes[2:3]:
        [stopped] = train_saes([config], second_store, PLACEMENT, should_stop=lambda: True)
        assert stopped.status == "stopped" and len(second_store.curve(run_id(config))) == 4
        [record] = train_saes([config], second_store, PLACEMENT)
        assert record.status == "done" and record.about["started_from"]["step"] == 4
        assert_same(store, second_store, config)
        assert record.params["total"] == 2 * 16 * 24 + 24 + 16 + (24 if config.sae.has_threshold else 0)  # type: ignore[union-attr]
        assert record.flops["total"] == 10 * 16 * 24 * config.tokens


def test_a_stream_shuffles_tokens_across_its_sequences_and_reads_each_once(
    store: Store, tiny: RunConfig, model_and_saes: list[RunConfig]
) -> None:
    """Two sites have the same order; a block does not depend on what was read before."""
    stream = open_stream(model_and_saes, store, PLACEMENT)
    assert len(stream.sites) == 3
    block = np.asarray(stream.training(1))
    assert block.shape == (3, 4, 128, 16)
    np.testing.assert_array_equal(block, open_stream(model_and_saes, store, PLACEMENT).training(1))
    alone = open_stream(model_and_saes[1:3], store, PLACEMENT)
    np.testing.assert_array_equal(block[1], np.asarray(alone.training(1))[0])
    assert len(np.unique(block[0].reshape(-1, 16), axis=0)) > 400  # of 512 tokens, few of which are the same twice
    assert not np.array_equal(
        np.sort(block[0].reshape(-1, 16), 0), np.sort(np.asarray(stream.training(0))[0].reshape(-1, 16), 0)
    )


def test_an_autoencoder_is_refused_in_one_line(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    config = sae_run(tiny, {"layer": 1, "kind": "topk", "latents": 24, "l0": 3}, tokens=1280, batch_tokens=128)
    with pytest.raises(StoreError, match="not in the store: train it first"):
        train_saes([config], store, PLACEMENT)
    assert store.read(run_id(config)).status == "failed"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"SaeConfig.layer = 2: the model has layers 0 to 1"):
        sae_run(tiny, {"layer": 2, "kind": "topk", "latents": 24, "l0": 3})
    train_run(tiny, store)
    other = dataclasses.replace(config, model=dataclasses.replace(tiny.model, mlp_width=48))
    with pytest.raises(ConfigError, match=r"RunConfig.model: must be that of SaeConfig.model_run"):
        train_saes([other], store, PLACEMENT)
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "ints.npy", np.zeros((4, 2), int))
    for name in ("objects", "text", "ints"):
        result = call_command("scaling", "sae", "train", str(tmp_path / f"{name}.npy"), "--store", str(store.root))
        assert result.returncode == 2 and result.stderr.count("\n") == 1 and f"{name}.npy" in result.stderr


def test_a_known_dictionary_is_found(tmp_path: Path) -> None:
    """At the right size, at least 90% of the true directions have a latent of cosine .9, and the error is the noise."""
    store, path = Store(tmp_path / "store"), write_activations(tmp_path / "x.npy", 60_000)
    config = file_run(store, path, {"kind": "batch-topk", "l0": 3}, tokens=300_000, lr=3e-3)
    [record] = train_saes([config], store, PLACEMENT)
    sae = load_sae(store, run_id(config))
    assert recovered_share(np.asarray(sae.params["W_dec"])) >= 0.9
    assert noise_floor(path) < record.final["loss"] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relu", "jumprelu", "batch-topk", "topk"])
def test_the_target_l0_is_reached_within_5_per_cent(kind: str, tmp_path: Path) -> None:
    store, path = Store(tmp_path / "store"), write_activations(tmp_path / "x.npy", 60_000)
    configs = [
        file_run(store, path, {"kind": kind, "l0": target, "latents": 256}, tokens=400_000)
        for target in (8, 16, 32, 64)
    ]
    for record in train_saes(configs, store, PLACEMENT):
        target = record.config.sae.l0  # type: ignore[union-attr]
        assert record.final["val_l0"] == pytest.approx(target, rel=0.05), target


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "top"), [("jumprelu", 0.1), ("relu", 0.5)])
def test_l0_falls_strictly_over_three_decades_of_the_coefficient(kind: str, top: float, tmp_path: Path) -> None:
    store, path = Store(tmp_path / "store"), write_activations(tmp_path / "x.npy", 60_000)
    coefficients = [top * 10 ** (-3 + i / 2) for i in range(7)]
    configs = [
        file_run(store, path, {"kind": kind, "l0": None, "coefficient": c, "latents": 128}, tokens=400_000)
        for c in coefficients
    ]
    l0 = [record.final["val_l0"] for record in train_saes(configs, store, PLACEMENT)]
    assert (np.diff(l0) < 0).all(), l0


@pytest.mark.slow
def test_dead_latents_recover(tmp_path: Path) -> None:
    """Of latents planted with pre-activations too small to be selected, most come back, and few without the loss."""
    store, path = Store(tmp_path / "store"), write_activations(tmp_path / "x.npy", 60_000)
    shares = {}
    for auxiliary in (1 / 32, 0.0):
        fields = {"latents": 40, "l0": 3, "dead_tokens": 2000, "auxiliary": auxiliary, "auxiliary_latents": 32}
        config = file_run(store, path, fields, tokens=400_000, lr=3e-3)
        program, _ = build_sae_program(config, PLACEMENT)
        stream = open_stream([config], store, PLACEMENT)
        state = program.init(0, stream.training(0)[0, 0])
        state["params"]["W_enc"] = state["params"]["W_enc"].at[:, :28].mul(0.05)
        for block in range(config.steps // 8):
            rates = np.full(8, config.optimizer.lr, np.float32)
            state, _ = program.step(state, stream.training(block)[0], rates, np.int32(8))
        shares[auxiliary] = float(np.mean(np.asarray(state["inactive_tokens_n"])[:28] > 2000))
    assert shares[0.0] > 0.5 and shares[1 / 32] < 0.3, shares


@pytest.mark.slow
def test_killed_autoencoders_resume_bit_for_bit(
    store: Store, second_store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a pack of three layers' sites; the same command goes on."""
    for each in (store, second_store):
        train_run(tiny, each)
    line = [sys.executable, "-m", "scaling", "sae", "train", run_id(tiny), "--layers", "all", "--sites", "residual,mlp"]
    line += ["--latents", "32", "--l0", "4", "--tokens", "60000", "--batch", "256", "--set", "sae.buffer=4"]
    line += ["--place", "save_seconds=0.2", "--place", "share=false"]
    whole = subprocess.run([*line, "--store", str(store.root)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "done" in whole.stderr
    command = [*line, "--store", str(second_store.root), "--events"]
    environment = {**os.environ, "XLA_FLAGS": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as child:
        assert child.stdout is not None
        for text in child.stdout:
            event = json.loads(text)
            if event["event"] == "step" and event["step"] > 80:
                os.kill(child.pid, signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    subprocess.run([*line, "--store", str(second_store.root)], capture_output=True, cwd=ROOT, check=True)
    runs = [record.config for record in store.records() if record.config.sae is not None]
    assert len(runs) == 4
    for config in runs:
        assert store.curve(run_id(config)) == second_store.curve(run_id(config))
        for x, y in zip(run_state(store, config), run_state(second_store, config), strict=True):
            np.testing.assert_array_equal(x, y)
