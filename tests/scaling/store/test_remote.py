"""A store at an address: runs go on from any machine, bit for bit, and nothing half there is trusted."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from scaling.config.run import RunConfig, override, run_id
from scaling.store import lease
from scaling.store.files import StoreError
from scaling.store.open import open_store
from scaling.store.record import Record, Store
from scaling.store.remote.files import RemoteFiles
from scaling.store.remote.store import RemoteStore
from tests.support import records
from tests.support.commands import call_command
from tests.support.training import assert_same_run, train_run


@pytest.fixture
def machine(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that opens the same address as another machine would; the corpus is there."""
    bucket = tmp_path / "bucket"
    (bucket / "tokens").mkdir(parents=True)
    shutil.copy(corpus, bucket / "tokens")

    def opened(name: str) -> Store:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return open_store(f"file://{bucket}")

    return opened


def test_a_run_goes_on_on_another_machine_bit_for_bit(machine, store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    long = override(tiny, ["steps=40"])
    first = machine("one")
    train_run(tiny, first)
    assert train_run(long, first, stop_after=9).status == "stopped"
    two = machine("two")
    assert two.root != first.root and not list(two.root.glob("runs/*"))
    done = train_run(long, two)
    assert done.about["started_from"] == {"step": 25, "shared": False} and done.about["before"]
    train_run(tiny, store)
    train_run(long, store)
    assert_same_run(two, store, long)
    three = machine("three")
    three.fetch_results()
    assert {r.run_id: r for r in three.records()} == {
        run_id(c): two.read(run_id(c)) or first.read(run_id(c)) for c in (tiny, long)
    }
    assert three.curve(run_id(long)) == store.curve(run_id(long))
    bucket = tmp_path / "bucket"
    assert not list(bucket.glob("runs/*/curve.jsonl"))
    assert sorted(path.name[:8] for path in bucket.glob("runs/*/checkpoints/*")) == ["00000020", "00000040"]
    assert train_run(long, machine("four")) == done  # is done there too


def test_a_checkpoint_that_was_cut_off_or_damaged_on_its_way_is_not_trusted(
    machine, store: Store, tiny: RunConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = machine("one")
    train_run(tiny, first)
    long = override(tiny, ["steps=40"])
    [shared] = (tmp_path / "bucket" / "checkpoints").iterdir()
    (shared / "manifest.json").rename(tmp_path / "kept")
    two = machine("two")
    assert "started_from" not in train_run(long, two, stop_after=3).about
    (tmp_path / "kept").rename(shared / "manifest.json")
    (shared / "curve.parquet").write_bytes(b"?")
    [folder] = (tmp_path / "bucket" / "runs" / run_id(long) / "checkpoints").iterdir()
    (folder / "curve.parquet").write_bytes(b"?")
    done = train_run(long, machine("three"))
    assert "started_from" not in done.about and capfd.readouterr().err.count("trying an older one") == 2
    train_run(long, store)
    assert_same_run(open_store(f"file://{tmp_path / 'bucket'}"), store, long)
    assert not folder.exists()  # nobody fetches it again


def test_one_machine_holds_a_run_and_the_others_know(machine, tiny: RunConfig) -> None:
    first, two = machine("one"), machine("two")
    with first.lease(run_id(tiny)), pytest.raises(lease.LeaseHeldError, match=f"process {os.getpid()}"):
        train_run(tiny, two)


def test_what_a_process_here_is_writing_is_not_fetched_over(machine, tiny: RunConfig) -> None:
    first, two = machine("one"), machine("two")
    name = run_id(tiny)
    with first.lease(name):
        first.write(Record(run_id=name, config=tiny, status="running"))
        two.fetch_results()
        assert two.read(name).status == "running"
        first.writes = False
        Store(first.root).write(Record(run_id=name, config=tiny, status="done"))
        first.fetch_results()
        assert first.read(name).status == "done"


def test_in_memory_one_of_many_makes_a_file(tmp_path: Path) -> None:
    place, built = RemoteFiles("memory://store-of-a-test"), []
    takers = [threading.Thread(target=lambda: built.append(place.create("leases/x/1.json", b"x"))) for _ in range(8)]
    for entry in takers:
        entry.start()
    for entry in takers:
        entry.join()
    assert sorted(built) == [False] * 7 + [True] and place.files("leases/x") == ["1.json"]
    place.remove("leases/x/1.json")
    place.remove("leases/x/1.json")


@pytest.mark.parametrize("address, says", [("nowhere://x", "unknown protocol 'nowhere'"), ("gs://x", "scaling[cloud]")])
def test_an_address_that_cannot_be_opened_is_refused_in_one_line_by_every_command(
    address: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import analysis.__main__
    import scaling.__main__
    import sweeps.__main__

    if "cloud" in says and find_spec("gcsfs"):
        pytest.skip(f"{address} can be opened here")
    try:
        RemoteStore(address)
    except StoreError as error:
        assert says in str(error)
    for section, words in (
        (scaling, ["generate", "run", "--store", address, "--prompt", "x"]),
        (sweeps, ["status", "quickstart", "--store", address]),
        (analysis, ["table", address]),
    ):
        assert section.__main__.main(words) == 2
        output = capsys.readouterr().err
        assert says in output and output.count("\n") == 1


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """Files in memory, as in an object store, with three runs of a sweep at memory://bucket/s."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "writer"))
    remote, configs = open_store("memory://bucket/s"), [records.config(64, steps) for steps in (100, 200, 300)]
    for config in configs:
        records.add_record(remote, config)
    remote.write_sweep("small", configs, map(run_id, configs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b" / "reader"))
    files = MemoryFileSystem()
    yield files
    files.rm("/bucket", recursive=True)


@pytest.mark.parametrize("content", [b"", b'{"run_id": 1}', b"[" * 100_000, b"\xff\x00"])
def test_a_damaged_record_of_a_remote_store_is_named_and_the_other_runs_are_read(
    bucket: MemoryFileSystem, content: bytes
) -> None:
    name = run_id(records.config(64, 200))
    bucket.pipe_file(f"/bucket/s/runs/{name}/record.json", content)
    remote = open_store("memory://bucket/s")
    remote.fetch_results()
    assert len(list(remote.records())) == 2 and list(remote.damaged) == [f"runs/{name}/record.json"]
    done = call_command("sweeps", "status", "small", "--store", "memory://bucket/s", "--json")
    runs = {run["run_id"]: run["state"] for run in json.loads(done.stdout)["runs"]}
    assert runs.pop(name) == "damaged" and list(runs.values()) == ["done", "done"]
    assert done.stderr.count(f"{name}/record.json: damaged: ") == 1 and "Traceback" not in done.stderr


def test_names_of_remote_files_never_leave_the_local_copy(bucket: MemoryFileSystem, tmp_path: Path) -> None:
    for name in ("runs/../../../../items/x.json", "runs/../../../items/../x", "sweeps/../../x.json", "runs//x/items/y"):
        bucket.store[f"/bucket/s/{name}"] = MemoryFile(bucket, f"/bucket/s/{name}", b"1")
    remote = open_store("memory://bucket/s")
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(remote.root)}
    remote.fetch_results()
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(remote.root)} == before
    assert len(list(remote.records())) == 3
