"""Preparation that is killed at any moment goes on, to the same bytes, on a disk and in buckets of real servers."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from scaling.data.shards.manifest import read_manifest
from tests.scaling.data.test_foreign_tokenizers import write_byte_level
from tests.support.clusters.gcs import gcs_emulator
from tests.support.clusters.s3 import s3_server
from tests.support.commands import ROOT

pytestmark = pytest.mark.slow
SHARD_TOKENS = 40_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Twelve files of JSON lines, and a tokenizer.json."""
    folder = tmp_path_factory.mktemp("corpus")
    source = (ROOT / "scaling" / "data" / "corpus.py").read_text()
    (folder / "text").mkdir()
    for file in range(12):
        lines = (json.dumps({"text": f"{file} {i}\n{source[: 50 * i]}"}) for i in range(60))
        (folder / "text" / f"{file:02d}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    write_byte_level(folder / "gpt")
    return folder


def line(corpus: Path, store: Path | str, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "scaling", "prepare", f"jsonl:{corpus / 'text'}", "--store", str(store), "--tokenizer",
        f"hf:{corpus / 'gpt'}", "--shard-tokens", str(SHARD_TOKENS), "--processes", "2", "--json", *words,
    ]  # fmt: skip


def run(words: list[str], **env: str) -> dict[str, object]:
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory) -> dict[str, object]:
    """The corpus as it is prepared without a kill."""
    return run(line(corpus, tmp_path_factory.mktemp("expected")))


@contextlib.contextmanager
def started(words: list[str], **env: str) -> Iterator[subprocess.Popen[str]]:
    """Context with a process group, killed at its end."""
    process = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_files(process: subprocess.Popen[str], count: int, list_files) -> bool:
    """Waits until there are so many files; whether the process still ran then."""
    while len(list_files()) < count:
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return process.poll() is None


def test_kill_9_at_random_moments_changes_no_byte(corpus: Path, expected: dict[str, object], tmp_path: Path) -> None:
    uniform, kills = random.Random(7).uniform, 0

    def files() -> list[Path]:
        return list((tmp_path / "tokens").glob("*.parts/*"))

    for wanted in (1, 6, 13, 24, 33):
        with started(line(corpus, tmp_path)) as process:
            if wait_for_files(process, max(wanted, len(files())), files):
                time.sleep(uniform(0, 0.15))
                kills += 1
    assert kills >= 4
    done = run(line(corpus, tmp_path))
    assert done["tokens"] == expected["tokens"] and Path(str(done["path"])).name == Path(str(expected["path"])).name
    read = {key: read_manifest(str(facts["path"])) for key, facts in (("a", expected), ("b", done))}
    for shard in read["a"].shards:
        contents = {(Path(manifest.address) / shard.name).read_bytes() for manifest in read.values()}
        assert len(contents) == 1
    assert not list(Path(read["b"].address).glob(".*writing*"))


def test_a_killed_process_of_several_is_one_line_and_the_others_end(corpus: Path, tmp_path: Path) -> None:
    with started(line(corpus, tmp_path)) as process:
        children = wait_for_children(process)
        os.kill(children[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2 and "ended by signal SIGKILL" in errors
        assert "run the same command again to go on" in errors and errors.strip().count("\n") == 0
        wait_until_gone(children)


def test_processes_end_with_the_one_that_started_them(corpus: Path, tmp_path: Path) -> None:
    with started(line(corpus, tmp_path)) as process:
        children = wait_for_children(process)
        process.kill()
        wait_until_gone(children)


def wait_for_children(process: subprocess.Popen[str]) -> list[int]:
    """Waits for the two processes that encode; spawn has one more, which tracks resources."""
    for _ in range(6000):
        tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        commands = {int(task): Path(f"/proc/{task}/cmdline").read_bytes() for task in tasks}
        children = [task for task, words in commands.items() if b"spawn_main" in words]
        if len(children) == 2:
            return children
        time.sleep(0.01)
    raise AssertionError("no processes")


def wait_until_gone(children: list[int]) -> None:
    for _ in range(600):
        if not any(is_running(child) for child in children):
            return
        time.sleep(0.1)
    raise AssertionError("a process goes on without the one that started it")


def is_running(child: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_shards_go_straight_into_a_bucket_also_after_a_kill(
    kind: str, corpus: Path, expected: dict[str, object], tmp_path: Path, monkeypatch
) -> None:
    server = gcs_emulator if kind == "gs" else s3_server
    address = f"{kind}://corpora/of/a/test"
    with server("corpora") as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        endpoint = {"endpoint_url": env["FSSPEC_S3_ENDPOINT_URL"]} if kind == "s3" else {}  # fsspec read it at import
        fs = fsspec.filesystem(kind, skip_instance_cache=True, use_listings_cache=False, **endpoint)
        words = line(corpus, tmp_path, "--to", address)
        with started(words) as process:
            assert wait_for_files(process, 5, lambda: fs.find(address))
        done = run(words)
        manifest, wanted = read_manifest(str(done["path"])), read_manifest(str(expected["path"]))
        assert done["tokens"] == expected["tokens"] and manifest.address.startswith(address)
        for shard in wanted.shards:
            assert fs.cat_file(f"{manifest.address}/{shard.name}") == (Path(wanted.address) / shard.name).read_bytes()
        in_bucket = json.loads(fs.cat_file(f"{address}/{Path(str(done['path'])).name}/manifest.json"))
        assert in_bucket["content_hash"] == done["tokens"]
        local = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
        assert sum(path.stat().st_size for path in local) < 100_000  # a manifest and the tokeniser, no shard
        refused = subprocess.run(
            line(corpus, tmp_path, "--to", f"{kind}://no-such-bucket/x"), cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert refused.returncode in (1, 2) and refused.stderr.strip().count("\n") == 0
        assert refused.stderr.startswith(f"scaling prepare: {kind}://no-such-bucket/x")


def test_a_store_in_a_bucket_gets_its_shards_there(corpus: Path, expected: dict[str, object], tmp_path: Path) -> None:
    with gcs_emulator("store") as env:
        first = run(line(corpus, "gs://store/S"), XDG_CACHE_HOME=str(tmp_path / "one"), **env)
        other = run(line(corpus, "gs://store/S"), XDG_CACHE_HOME=str(tmp_path / "two"), **env)
    assert first["tokens"] == other["tokens"] == expected["tokens"]
    shards = [*(tmp_path / "one").rglob("train-*.bin"), *(tmp_path / "two").rglob("train-*.bin")]
    assert not shards


FULL = """
import resource, sys
from scaling.__main__ import main
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_one_line_and_the_next_command_goes_on(
    corpus: Path, expected: dict[str, object], tmp_path: Path
) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL)
    words = line(corpus, tmp_path / "store")
    full = subprocess.run(
        [sys.executable, str(script), *words[3:]], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert full.returncode == 1 and full.stderr.strip().count("\n") == 0
    assert full.stderr.startswith(f"scaling prepare: {tmp_path / 'store'}") and "File too large" in full.stderr
    assert not list((tmp_path / "store").rglob("*writing*"))
    assert run(words)["tokens"] == expected["tokens"]
