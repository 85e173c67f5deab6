"""Training on shards, on disk and in a bucket: the same run, killed or not, on one host or two."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.data.shards.manifest import MANIFEST, encode_manifest, read_manifest
from scaling.data.tokens import CorpusError, open_tokens
from scaling.store.open import open_store
from scaling.store.record import Store
from scaling.training.loop import train
from tests.support.clusters.gcs import gcs_emulator
from tests.support.commands import ROOT, outcomes
from tests.support.corpora import write_shards
from tests.support.training import STEPWISE, assert_same_run, losses, train_run

UPLOAD = """
import sys, fsspec
from pathlib import Path
fs = fsspec.filesystem("gcs")
for path in Path(sys.argv[1]).iterdir():
    fs.pipe_file(f"{sys.argv[2]}/{path.name}", path.read_bytes())
"""


@pytest.fixture
def shards(tmp_path: Path, corpus: Path) -> Path:
    """A tenth of a MB of the corpus, as shards."""
    tokens = open_tokens(corpus)
    train_tokens, validation = np.asarray(tokens.train[:50_000]), np.asarray(tokens.validation[:5_000])
    write_shards(tmp_path / "draft", train_tokens, validation, sizes=(9_000, 20_001, 77))
    folder = tmp_path / f"text-x-{read_manifest(tmp_path / 'draft').content_hash[:16]}.shards"
    return (tmp_path / "draft").rename(folder)


@pytest.fixture
def in_blocks(tiny: RunConfig, shards: Path) -> RunConfig:
    sizes = ["data.block_tokens=256", "data.block_group=3"]
    tokens = f"data.tokens={read_manifest(shards).content_hash}"
    return override(tiny, [tokens, "data.order=blocks", *sizes, "steps=24", "eval.every=0"])


def store_with(folder: Path, shards: Path, address: str | None = None) -> Store:
    """A store that has the manifest of the shards at an address, or of those on this machine."""
    store = Store(folder)
    local = store.token_files / shards.name
    local.mkdir(parents=True)
    manifest = read_manifest(shards)
    (local / MANIFEST).write_bytes(encode_manifest(manifest, address))
    if address is None:
        for path in shards.glob("*.bin"):
            os.link(path, local / path.name)
    return store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scaling" / "tokens"


@pytest.fixture
def bucket(shards: Path) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    for path in shards.iterdir():
        memory.pipe_file(f"/bucket/{shards.name}/{path.name}", path.read_bytes())
    yield f"memory://bucket/{shards.name}"
    memory.rm("/bucket", recursive=True)


def test_a_run_in_blocks_stops_and_goes_on_bit_for_bit_from_disk_or_from_a_bucket(
    in_blocks: RunConfig, shards: Path, bucket: str, cache: Path, tmp_path: Path
) -> None:
    whole, parts = store_with(tmp_path / "whole", shards), store_with(tmp_path / "parts", shards, bucket)
    assert train_run(in_blocks, whole).status == "done"
    in_bucket = Placement(**{**vars(STEPWISE), "token_cache_gb": 1e-5})  # a tenth of the corpus
    assert train_run(in_blocks, parts, in_bucket, stop_after=11).status == "stopped"
    assert train_run(in_blocks, parts, in_bucket).status == "done"
    assert_same_run(whole, parts, in_blocks)
    assert 0 < sum(path.stat().st_size for path in cache.glob("*.piece")) <= 1e4


def test_a_remote_store_fetches_the_manifest_and_never_the_shards(
    in_blocks: RunConfig, shards: Path, bucket: str, cache: Path
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/bucket/store/tokens/{shards.name}/{MANIFEST}", (shards / MANIFEST).read_bytes())
    for path in shards.glob("*.bin"):
        memory.pipe_file(f"/bucket/store/tokens/{shards.name}/{path.name}", path.read_bytes())
    store = open_store("memory://bucket/store")
    store.fetch_tokens()
    assert [path.name for path in store.token_files.rglob("*") if path.is_file()] == [MANIFEST]
    tokens = open_tokens(store.token_files / shards.name)
    np.testing.assert_array_equal(tokens.train[:20_000], open_tokens(shards).train[:20_000])
    store.fetch_tokens("0" * 64)


def test_another_corpus_at_the_address_of_the_tokens_is_refused(
    in_blocks: RunConfig, shards: Path, bucket: str, tmp_path: Path
) -> None:
    other = override(in_blocks, [f"data.tokens={'0' * 64}"])
    placement = Placement(token_address=bucket)
    with pytest.raises(CorpusError, match=r"^Placement.token_address = memory://bucket/.*: its content hash is "):
        train(other, Store(tmp_path / "S"), placement, sweep=None, emit=lambda e: None, should_stop=lambda: False)


def hosts_of(config: RunConfig, store: Store, count: int, env: dict[str, str], *flags: str) -> list[subprocess.Popen]:
    """One trainer per host, each with a cache of its own."""
    path = store.root / "config.json"
    path.write_text(dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    line = [sys.executable, "-m", "scaling", "train", str(path), "--store", str(store.root), *flags]
    line += ["--hosts", str(count), "--coordinator", coordinator] if count > 1 else []
    return [
        subprocess.Popen(
            [*line, *(["--host", str(i)] if count > 1 else [])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": "", **env, "XDG_CACHE_HOME": str(store.root / f"cache-{i}")},
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.slow
def test_two_hosts_on_a_bucket_killed_and_resumed_are_the_run_of_one_host_on_disk(
    in_blocks: RunConfig, shards: Path, tmp_path: Path
) -> None:
    config = override(in_blocks, ["steps=150", "data.block_tokens=160", "data.block_group=8"])
    with gcs_emulator("corpora") as env:
        subprocess.run(
            [sys.executable, "-c", UPLOAD, str(shards), f"corpora/{shards.name}"], check=True, env={**os.environ, **env}
        )
        address, flags = (
            f"gs://corpora/{shards.name}",
            ("--place", "token_cache_gb=1e-5", "--place", "save_seconds=0.2"),
        )
        killed, whole = (store_with(tmp_path / name, shards, address) for name in ("killed", "whole"))
        hosts = hosts_of(config, killed, 2, env, *flags)
        folder = killed.run_dir(run_id(config)) / "checkpoints"
        while not list(folder.glob("[0-9]*/manifest.json")):
            assert all(host.poll() is None for host in hosts), outcomes(hosts)
        for host in hosts:
            host.kill()
        outcomes(hosts)
        for store in (killed, whole):
            done = outcomes(hosts_of(config, store, 2, env, *flags))
            assert [status for status, _, _ in done] == [0, 0], done
    resumed = killed.read(run_id(config))
    assert resumed is not None and resumed.about["hosts"] == 2 and resumed.about["started_from"]["step"] > 0
    assert_same_run(killed, whole, config)
    for cached in (store.root / f"cache-{i}" / "scaling" / "tokens" for store in (killed, whole) for i in range(2)):
        assert 0 < sum(path.stat().st_size for path in cached.glob("*.piece")) <= 1e4
    pieces = [{path.name for path in (whole.root / f"cache-{i}").rglob("*.piece")} for i in range(2)]
    assert len(pieces[0] & pieces[1]) < len(pieces[0]) / 2, "each host has the blocks of its own rows"
    alone = store_with(tmp_path / "alone", shards)
    train_run(config, alone)
    # Sums over two hosts are rounded in another order, and the difference grows from step to step.
    np.testing.assert_allclose(losses(whole, config)[:40], losses(alone, config)[:40], atol=1e-4)
    assert json.loads((shards / MANIFEST).read_text())["content_hash"] == config.data.tokens
