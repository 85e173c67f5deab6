"""One run on many hosts: real processes that meet, agree, lose one of them, and go on as more or as fewer."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.config.validation import ConfigError
from scaling.distributed.sharding import local_rows
from scaling.program import array_checksums, checkpoint, checkpoint_files
from scaling.program.build import build_program
from scaling.store import files
from scaling.store.record import Store
from scaling.store.sae_runs import sae_run
from tests.support.commands import ROOT, call_command, outcomes
from tests.support.training import losses, train_run


def pod(config: RunConfig, store: Store, hosts: int, *words: str, missing: int = -1) -> list[subprocess.Popen[str]]:
    """One process a host, but for the one that is `missing`."""
    path = store.root / "config.json"
    path.write_text(dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    line = [sys.executable, "-m", "scaling", "train", str(path), "--store", str(store.root), "--coordinator", where]
    env = {**os.environ, "XLA_FLAGS": ""}
    return [
        subprocess.Popen(
            [*line, "--hosts", str(hosts), "--host", str(i), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env,
        )
        for i in range(hosts)
        if i != missing
    ]  # fmt: skip


@pytest.mark.slow
def test_two_hosts_are_one_run(store: Store, second_store: Store, tiny: RunConfig) -> None:
    train_run(tiny, second_store)
    first, second = outcomes(pod(tiny, store, 2, "--events"))
    assert first[0] == second[0] == 0, (first, second)
    assert first[1].count("\n") > 2 and not second[1] and not second[2]  # host 0 speaks alone
    assert all(line.startswith('{"event"') for line in first[1].splitlines())
    np.testing.assert_allclose(losses(store, tiny), losses(second_store, tiny), atol=1e-4)
    record = store.read(run_id(tiny))
    assert record is not None and record.about["hosts"] == 2 and record.about["devices"] == 2
    assert record.final["loss"] == pytest.approx(second_store.read(run_id(tiny)).final["loss"], abs=1e-4)


@pytest.mark.slow
def test_autoencoders_on_two_hosts_are_one_line(store: Store, tiny: RunConfig) -> None:
    fields = {"layer": 0, "kind": "topk", "latents": 32, "l0": 4}
    hosts = pod(sae_run(tiny, fields, tokens=64, batch_tokens=32), store, 2)
    for status, out, error in outcomes(hosts):
        assert status == 2 and not out
        assert error == "scaling train: --hosts: sparse autoencoders are trained on one host: leave it out\n"
    assert not list(store.records())


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_host_stops_the_others_and_more_or_fewer_go_on(
    store: Store, second_store: Store, tiny: RunConfig, lost: int
) -> None:
    config = override(tiny, ["steps=300", "eval.every=0", "model.width=32", "model.heads=4", "optimizer.lr=0.001"])
    hosts = pod(config, store, 2, "--place", "save_seconds=0.3")
    folder = store.run_dir(run_id(config)) / "checkpoints"
    wait_for_checkpoint(folder, hosts)
    hosts[lost].kill()
    began = time.monotonic()
    status, _, error_output = outcomes(hosts)[1 - lost]
    assert (
        status == 75 and "another host was lost" in error_output.splitlines()[-1] and "Traceback" not in error_output
    ), error_output
    assert time.monotonic() - began < 60
    saved = max(int(path.name[:8]) for path in folder.glob("[0-9]*"))
    fewer_or_more = {0: (1, ()), 1: (4, ("--place", "fsdp=2", "--place", "tensor=2"))}
    count, words = fewer_or_more[lost]
    done = outcomes(pod(config, store, count, *words))
    assert [status for status, _, _ in done] == [0] * count, done
    record = store.read(run_id(config))
    assert record is not None and record.about["hosts"] == count
    assert record.about["started_from"] == {"step": saved, "shared": False}
    train_run(config, second_store)
    np.testing.assert_allclose(losses(store, config), losses(second_store, config), atol=1e-4)


def wait_for_checkpoint(folder: Path, hosts: list[subprocess.Popen[str]]) -> None:
    while not list(folder.glob("[0-9]*")):
        assert all(host.poll() is None for host in hosts), outcomes(hosts)
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_to_one_host_stops_all_at_one_step(store: Store, tiny: RunConfig) -> None:
    config = override(tiny, ["steps=4000", "eval.every=0"])
    hosts = pod(config, store, 2, "--place", "save_seconds=0.3")
    wait_for_checkpoint(store.run_dir(run_id(config)) / "checkpoints", hosts)
    hosts[1].send_signal(signal.SIGTERM)
    assert [status for status, _, _ in outcomes(hosts)] == [75, 75]
    record = store.read(run_id(config))
    assert record is not None and record.status == "stopped" and "error" not in record.about


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0, 1])
def test_a_host_that_does_not_come_is_one_line(store: Store, tiny: RunConfig, missing: int) -> None:
    [(status, _, error_output)] = outcomes(pod(tiny, store, 2, "--deadline", "5", missing=missing))
    assert status == 1 and len(error_output.splitlines()) == 1 and "within 5 s" in error_output, error_output


def test_flags_that_do_not_make_hosts_are_refused_in_one_line(tiny: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(dumps(tiny))
    cases = {
        ("--hosts", "two"): "must be a number above 0, or auto",
        ("--hosts", "2"): "requires --host I and --coordinator",
        ("--host", "1"): "require --hosts N",
        ("--hosts", "2", "--host", "2", "--coordinator", "a:1"): "must be from 0 to 1",
        ("--hosts", "2", "--host", "1", "--coordinator", "a"): "must be ADDRESS:PORT",
    }
    for words, says in cases.items():
        done = call_command("scaling", "train", path, "--store", tmp_path, *words)
        assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_every_row_lies_on_some_device_and_tensor_devices_share_theirs(tiny: RunConfig) -> None:
    compiled, _ = build_program(tiny, Placement(data=2, tensor=2))
    np.testing.assert_array_equal(local_rows(compiled.batch_sharding, 8), np.arange(8))


CHAIN = [Placement(data=1), Placement(data=2, fsdp=2), Placement(data=1, fsdp=1, tensor=2), Placement(data=1, fsdp=4)]


def test_a_checkpoint_is_the_same_bits_on_every_mesh(tmp_path: Path, tiny: RunConfig) -> None:
    state = build_program(tiny, CHAIN[0])[0].init(0)
    entries = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    for step, placement in enumerate(CHAIN[1:]):
        saved = checkpoint.save_checkpoint(tmp_path, tiny, step, state, [{"step": step}])
        state, _ = checkpoint.restore_checkpoint(saved, build_program(tiny, placement)[0].abstract)
        for leaf, before in zip(jax.tree.leaves(state), entries, strict=True):
            np.testing.assert_array_equal(np.asarray(leaf), before)


def test_a_checkpoint_of_before_is_still_known(tmp_path: Path, tiny: RunConfig) -> None:
    """Manifests once held SHA-256 of whole arrays."""
    state = build_program(tiny, CHAIN[0])[0].init(0)
    saved = checkpoint.save_checkpoint(tmp_path, tiny, 1, state, [{"step": 1}])
    manifest = files.read_json(saved / "manifest.json")
    arrays = checkpoint_files.named_leaves(state)
    manifest["arrays"] = {name: array_checksums.sha256_digest(array) for name, array in arrays.items()}
    del manifest["sums"]
    files.write_json(saved / "manifest.json", manifest)
    checkpoint.restore_checkpoint(saved, build_program(tiny, CHAIN[1])[0].abstract)
    manifest["arrays"]["params.embedding_VD"] = "0" * 64
    files.write_json(saved / "manifest.json", manifest)
    with pytest.raises(checkpoint.CheckpointError, match=r"is altered: params\.embedding_VD"):
        checkpoint.restore_checkpoint(saved, build_program(tiny, CHAIN[1])[0].abstract)


def test_a_changed_bit_changes_the_sum_wherever_it_is() -> None:
    x_LD = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    whole = array_checksums.local_checksum(jax.numpy.asarray(x_LD))
    for row, column, bit in ((0, 0, 0), (4, 6, 31), (2, 3, 22)):
        changed = x_LD.copy()
        changed.view(np.uint32)[row, column] ^= np.uint32(1 << bit)
        assert array_checksums.local_checksum(jax.numpy.asarray(changed)) != whole
    assert array_checksums.local_checksum(jax.numpy.asarray(x_LD[[1, 0, 2, 3, 4]])) != whole  # rows exchanged


def test_fewer_devices_than_hosts_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from scaling.distributed.sharding import make_mesh

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match="must take all 8 devices of the 2 hosts"):
        make_mesh(Placement(data=4))
