"""An anonymous store: no host, user or absolute path in any byte of it, and leases that work as elsewhere."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.__main__ import main as scaling_main
from scaling.config.run import dumps, run_id
from scaling.data.shards.manifest import MANIFEST
from scaling.data.tokens import find_tokens, open_tokens
from scaling.store.files import StoreError
from scaling.store.lease import LeaseHeldError
from scaling.store.origin.anonymous import PrivateNames, corpus_label, is_anonymous, set_anonymous
from scaling.store.origin.machine import alias, machine_alias
from scaling.store.origin.paths import public_corpus, public_path
from scaling.store.record import Record, Store
from sweeps.__main__ import main as sweeps_main
from tests.support.corpora import write_shards
from tests.support.records import config

HOST, USER = "zq-host-417", "zquser417"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user with a distinctive name, on a host with one."""
    home = tmp_path / "zq home" / USER
    (home / "work").mkdir(parents=True)
    for name, value in {"HOME": str(home), "USER": USER, "LOGNAME": USER, "XDG_CACHE_HOME": str(home / "c")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.chdir(home / "work")
    return home


def private_bytes(root: Path, home: Path) -> list[str]:
    """Files under a folder that have the host, the user, the home folder or the folder above all in name or content."""
    words = [HOST, USER, str(home), "zq home", home.parent.name, str(root)]
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return [
        f"{path.relative_to(root)}: {word}"
        for path in files
        for word in words
        if word.encode() in path.read_bytes() or word in str(path.relative_to(root))
    ]


def store_with_names(home: Path) -> tuple[Store, list[str]]:
    """A store of two runs and a corpus, written without --anonymous; and the ids of the runs."""
    text, store = home / "work" / "notes.txt", Store(home / "S")
    text.write_text("The quick brown fox jumps over the lazy dog. " * 200)
    assert scaling_main(["prepare", f"text:{text}", "--store", str(store.root)]) == 0
    [path] = store.token_files.glob("*.tokens")
    tokens, runs = open_tokens(path), []
    for seed in (0, 1):
        run = config(64, 10, seed=seed)
        data = dataclasses.replace(run.data, tokens=tokens.content_hash, corpus=tokens.corpus)
        runs.append(dataclasses.replace(run, data=data))
        about = {
            "host": HOST, "pid": 17, "tokens_file": path.name, "corpus": tokens.corpus,
            "before": [{"host": "node7.cluster"}], "error": f"{home}/my work/x.py on {HOST} and node7.cluster: refused",
        }  # fmt: skip
        store.write(Record(run_id=run_id(runs[-1]), config=runs[-1], status="failed", about=about, sweep="s"))
        (store.run_dir(run_id(runs[-1])) / "config.json").write_text(dumps(runs[-1]))
        (store.run_dir(run_id(runs[-1])) / "log.txt").write_text(f'File "{home}/a b/c.py", line 3, by {USER}\n')
        with store.lease(run_id(runs[-1])):
            pass
    store.write_sweep("s", runs, map(run_id, runs))
    write_shards(store.token_files / "notes.shards", np.arange(300) % 256, np.arange(60) % 256, sizes=(100,))
    manifest = store.token_files / "notes.shards" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"text:x"', json.dumps(f"text:{text}")))
    return store, list(map(run_id, runs))


def test_an_existing_store_is_made_anonymous_once_and_says_what_is_left(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, names = store_with_names(home)
    before = [store.read(name) for name in names]
    assert len(private_bytes(store.root, home)) > 20
    assert sweeps_main(["anonymize", "--store", str(store.root)]) == 0, capsys.readouterr().err
    assert private_bytes(store.root, home) == [] and is_anonymous(store.root)
    for name, old in zip(names, before, strict=True):
        new = store.read(name)
        assert new is not None and old is not None and run_id(new.config) == name
        assert (new.params, new.flops, new.status, new.sweep) == (old.params, old.flops, old.status, old.sweep)
        assert new.about["host"] == machine_alias() and new.about["before"][0]["host"].startswith("machine-")
        assert new.about["error"].startswith("my work/x.py on machine-") and "node7" not in new.about["error"]
        assert open_tokens(store.token_files / new.about["tokens_file"]).corpus == new.config.data.corpus
    shards = open_tokens(store.token_files / "notes.shards")
    assert shards.corpus == corpus_label(f"text:{home / 'work' / 'notes.txt'}") and len(shards.train) == 300
    assert find_tokens(store.token_files, before[0].config.data.tokens if before[0] else "").exists()
    stamps = store.record_stamps()
    capsys.readouterr()
    assert sweeps_main(["anonymize", "--store", str(store.root)]) == 0
    assert "rewritten: 0 files" in capsys.readouterr().out and store.record_stamps() == stamps
    (store.root / "wandb").mkdir()
    (store.root / "wandb" / "debug.log").write_text(f"host {HOST}")
    assert sweeps_main(["anonymize", "--store", str(store.root)]) == 1
    assert "left: wandb/debug.log: has the name of a host: remove the file" in capsys.readouterr().err


def test_a_store_whose_runs_are_trained_is_not_rewritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, names = store_with_names(home)
    before = store.record_stamps()
    with store.lease(names[0]):
        assert sweeps_main(["anonymize", "--store", str(store.root)]) == 2
    assert "is held by a process: wait until it has ended" in capsys.readouterr().err
    assert store.record_stamps() == before and not is_anonymous(store.root)


def test_a_corpus_prepared_anonymously_is_found_again_and_named_by_its_file(home: Path) -> None:
    store, words = Store(home / "S"), "A sentence of some words. "
    for folder in ("a", "b"):
        (home / folder).mkdir()
        (home / folder / "notes.txt").write_text(words * (200 if folder == "a" else 300))
        for _ in range(2):
            assert (
                scaling_main(
                    ["prepare", f"text:{home / folder / 'notes.txt'}", "--store", str(store.root), "--anonymous"]
                )
                == 0
            )
    corpora = [open_tokens(path).corpus for path in store.token_files.glob("*.tokens")]
    assert len(set(corpora)) == 2 and all(corpus.startswith("text:notes.txt@") for corpus in corpora)
    assert private_bytes(store.root, home) == []


HOLDER = """
import sys, time
from scaling.store.record import Store
with Store(sys.argv[1]).lease("run"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_leases_of_an_anonymous_store_name_no_host_and_follow_a_dead_holder_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "S")
    set_anonymous(store.root)
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    owner = json.loads((store.root / "leases/run/00000001.json").read_text())["owner"]
    assert owner["host"] == machine_alias() and socket.gethostname() not in json.dumps(owner).split('"')
    with pytest.raises(LeaseHeldError, match=f"process {child.pid} on {machine_alias()}"), store.lease("run"):
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with store.lease("run") as lease:  # without waiting for the silence
        assert lease.number == 2


def test_an_alias_needs_the_key_of_the_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = alias(HOST)
    assert first == alias(HOST) != alias("another") and (home / "c/scaling/alias.key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "other"))
    assert alias(HOST) != first


@pytest.mark.parametrize("text", ["[]", '{"anonymous": 1}', "{", "null"])
def test_damaged_settings_are_an_error_not_a_store_with_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(StoreError, match=r"settings\.json: damaged"):
        is_anonymous(tmp_path)


@pytest.mark.parametrize(("text", "expected"), [
    ("/opt/x/runs/abc/record.json: damaged", "record.json: damaged"), ("gs://bucket/team/S: refused", "S: refused"),
    ("../../alice/S", "S"), ("N/A, 3/4 of 5 tokens/s", "N/A, 3/4 of 5 tokens/s"), ("a/b.txt", "a/b.txt"),
    ("see https://example.com/a/b", "see https://example.com/a/b"),
    ('File "/usr/l/x.py", line 3', 'File "x.py", line 3'),
    (f"{HOST}:80 of {USER}", "HOST:80 of user"),
])  # fmt: skip
def test_a_text_keeps_what_names_nobody(home: Path, text: str, expected: str) -> None:
    assert PrivateNames(home / "S").remove_from(text) == expected.replace("HOST", machine_alias())


@given(st.text("a/~. :@=,", max_size=30))
def test_what_has_no_names_is_not_changed_again(text: str) -> None:
    names = PrivateNames(Path("/tmp/S"))
    assert names.remove_from(names.remove_from(text)) == names.remove_from(text)
    label = corpus_label(f"text:{text}")
    assert corpus_label(label) == label and "/" not in label
    assert not public_path(text).startswith("/") or not public_path(text).strip("/")


def test_names_of_corpora_without_paths_stay() -> None:
    for corpus in ("cpython", "markov:order=2", "mix:cpython=0.8,addition:1-5=0.2", "my.py:docs@abc,n=3", "text:a.txt"):
        assert corpus_label(corpus) == public_corpus(corpus) == corpus
    assert public_corpus("tfds:c4/en,data_dir=/home/x/d") == "tfds:c4/en,data_dir=d"
