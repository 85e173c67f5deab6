"""A run of two hosts on Google Cloud Storage's API: killed, resumed, bit for bit the local one.

The server is gcp-storage-emulator on this machine; gcsfs writes records, TensorStore the arrays of checkpoints.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.record import Store
from tests.support.clusters.gcs import gcs_emulator
from tests.support.commands import ROOT, outcomes
from tests.support.sweeps import wait_until

ADDRESS = "gs://runs/of/a/test"
UPLOAD = """
import sys, gcsfs
from pathlib import Path
fs = gcsfs.GCSFileSystem(token="anon")
for path in Path(sys.argv[1]).iterdir():
    if not path.name.startswith("."):
        fs.put_file(str(path), f"runs/of/a/test/tokens/{path.name}")
"""


@pytest.fixture
def gcs(tmp_path: Path, store: Store) -> Iterator[dict[str, str]]:
    """Environment of a process that speaks to a server with a bucket in which the corpus lies."""
    with gcs_emulator("runs") as variables:
        env = {
            **os.environ, **variables, "XLA_FLAGS": "", "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }  # fmt: skip
        run_python(env, UPLOAD, str(store.token_files))
        yield env


def run_python(env: dict[str, str], code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(env: dict[str, str], run: str) -> dict[str, dict]:
    """The manifests of a run's own checkpoints in the bucket, by name."""
    address = f"{env['STORAGE_EMULATOR_HOST']}/storage/v1/b/runs/o"
    with urllib.request.urlopen(address, timeout=60) as answer:
        names = [item["name"] for item in json.load(answer)["items"]]
    start, found = f"of/a/test/runs/{run}/checkpoints/", {}
    for name in names:
        if name.startswith(start) and name.endswith("/manifest.json"):
            with urllib.request.urlopen(f"{address}/{urllib.parse.quote(name, safe='')}?alt=media") as answer:
                found[name] = json.load(answer)
    return found


def start_hosts(config: Path, store: str, env: dict[str, str]) -> list[subprocess.Popen[str]]:
    """Two hosts that train one run, each with a cache of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    line = [sys.executable, "-m", "scaling", "train", str(config), "--store", store, "--coordinator", where]
    return [
        subprocess.Popen(
            [*line, "--hosts", "2", "--host", str(i), "--deadline", "60", "--place", "save_seconds=0.3"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**env, "XDG_CACHE_HOME": f"{env['XDG_CACHE_HOME']}-{i}"},
        )
        for i in range(2)
    ]  # fmt: skip


@pytest.mark.slow
def test_two_hosts_on_a_bucket_that_are_killed_go_on_bit_for_bit(
    gcs: dict[str, str], store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    config = override(tiny, ["steps=24", "eval.every=0"])
    path, name = tmp_path / "config.json", run_id(config)
    path.write_text(dumps(config))

    hosts = start_hosts(path, ADDRESS, gcs)
    wait_until(lambda: manifests(gcs, name), 600)
    for host in hosts:
        host.send_signal(signal.SIGKILL)
        host.communicate()
    done = outcomes(start_hosts(path, ADDRESS, gcs))
    assert [status for status, _, _ in done] == [0, 0], "\n".join(error for _, _, error in done)
    local = outcomes(start_hosts(path, str(store.root), gcs))
    assert [status for status, _, _ in local] == [0, 0], "\n".join(error for _, _, error in local)
    env = {**gcs, "XDG_CACHE_HOME": f"{gcs['XDG_CACHE_HOME']}-0"}
    [cache] = (Path(env["XDG_CACHE_HOME"]) / "scaling" / "stores").iterdir()
    assert not list(cache.glob("runs/*/checkpoints/0*")) and not list(cache.glob("checkpoints/0*"))  # no local copy
    ours, expected = Store(cache).read(name), store.read(name)
    assert ours is not None and expected is not None
    assert ours.about["started_from"]["step"] > 0 and ours.about["hosts"] == 2
    assert replace(ours, about={}) == replace(expected, about={})
    assert Store(cache).curve(name) == store.curve(name)
    [last] = manifests(gcs, name).values()
    [local_last] = store.run_dir(name).glob("checkpoints/*/manifest.json")
    assert last["sums"] == json.loads(local_last.read_text())["sums"]  # parameters and optimizer state, every bit
    line = ["generate", name, "--store", ADDRESS, "--prompt", "import", "--tokens", "3"]
    generated = subprocess.run(
        [sys.executable, "-m", "scaling", *line], cwd=ROOT, env={**gcs, "XDG_CACHE_HOME": str(tmp_path / "third")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert generated.returncode == 0, generated.stderr


@pytest.mark.slow
def test_runs_in_a_bucket_are_fine_tuned_exported_and_imported(
    gcs: dict[str, str], store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    """Each command on a machine of its own, which has nothing of the store but what it fetches."""
    machines = 0

    def scaling(*words: object) -> str:
        nonlocal machines
        machines += 1
        done = subprocess.run(
            [sys.executable, "-m", "scaling", *map(str, words), "--store", ADDRESS], capture_output=True, text=True,
            cwd=ROOT, env={**gcs, "XDG_CACHE_HOME": str(tmp_path / f"machine-{machines}")}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text_of(run: str) -> list[dict]:
        return json.loads(scaling("generate", run, "--prompt", "import", "--tokens", 8, "--temperature", 0, "--json"))[
            "texts"
        ]

    config, path = override(tiny, ["eval.every=0"]), tmp_path / "config.json"
    path.write_text(dumps(config))
    scaling("train", path)
    path.write_text(dumps(override(config, ["optimizer.lr=0.003", "seed=1"])))
    [end] = [json.loads(line) for line in scaling("train", path, "--init", run_id(config), "--events").splitlines()][
        -1:
    ]
    tuned = end["run_id"]
    folder = tmp_path / "exported"
    scaling("export", tuned, "--to", f"hf:{folder}")
    imported = json.loads(scaling("import", f"hf:{folder}", "--json"))["run_id"]
    assert len({run_id(config), tuned, imported}) == 3
    assert text_of(imported) == text_of(tuned)
