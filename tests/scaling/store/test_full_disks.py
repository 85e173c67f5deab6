"""On a disk that is full or cannot be written, commands end with one line that names the file; nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, run_id
from scaling.store.record import Store
from tests.support.commands import call_command
from tests.support.training import assert_same_run, train_run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
FREE_SPACE = "No space left on device: free space on this disk, then run the same command again"
DISK_BYTES = 6_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Fills a file system up to this many bytes."""
    (disk / "filler").write_bytes(b"\0" * (shutil.disk_usage(disk).free - left))


def full_disk_line(disk: Path, *words: object) -> str:
    """The one line that a command prints on a full disk."""
    done = call_command("scaling", *words)
    assert done.returncode == 1 and not done.stdout, done
    lines = [line for line in done.stderr.splitlines() if not line.startswith("step ") and not line.endswith(" steps")]
    assert len(lines) == 1 and str(disk) in lines[0] and "free space on this disk" in lines[0], done.stderr
    return lines[0]


@pytest.mark.parametrize(  # for no file, for no checkpoint, for one of two
    "left", [pytest.param(0, marks=pytest.mark.long), pytest.param(30_000, marks=pytest.mark.long), 300_000]
)
def test_a_run_on_a_full_disk_goes_on_when_there_is_space(
    disk: Path, second_store: Store, tiny: RunConfig, tmp_path: Path, left: int
) -> None:
    store, config = Store(disk), tmp_path / "config.json"
    shutil.copytree(second_store.token_files, store.token_files)
    config.write_text(dumps(tiny))
    fill(disk, left)
    words = ("train", config, "--store", disk, "--place", "data=1", "--place", "block=1")  # as `train_run`
    line = full_disk_line(disk, *words)
    assert FREE_SPACE in line or "bytes are needed" in line
    (disk / "filler").unlink()
    assert call_command("scaling", *words).returncode == 0
    train_run(tiny, second_store)
    assert_same_run(store, second_store, tiny)
    assert not list(disk.rglob(".writing-*"))


def test_results_on_a_full_disk_name_the_file(
    disk: Path, store: Store, tiny: RunConfig, tmp_path: Path, corpus: Path
) -> None:
    run, text = train_run(tiny, store).run_id, tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text(Path(__file__).read_text())
    shutil.copytree(store.run_dir(run), disk / "runs" / run)
    shutil.copytree(store.token_files, disk / "tokens")
    before = Store(disk).read(run)
    fill(disk, 0)
    commands = (
        (("evaluate", run, "--store", disk, "--tasks", "copying-1", "--items", 2), "record.json"),
        (("attention", run, "--store", store.root, "--prompt", "ab", "--out", disk / "maps.json"), "maps.json"),
        (("activations", run, "--store", store.root, "--layer", 0, "--tokens", 64, "--out", disk / "x.npy"), "x.npy"),
        (("prepare", f"text:{text}", "--store", disk), "tokens"),
    )
    for words, name in commands:
        assert name in full_disk_line(disk, *words)
    assert Store(disk).read(run) == before


@pytest.mark.long
def test_a_disk_that_cannot_be_written_is_bad_input_in_one_line(
    disk: Path, store: Store, tiny: RunConfig, tmp_path: Path
) -> None:
    run, config, text = train_run(tiny, store).run_id, tmp_path / "config.json", tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text(Path(__file__).read_text())
    config.write_text(dumps(tiny))
    shutil.copytree(store.run_dir(run), disk / "runs" / run)
    shutil.copytree(store.token_files, disk / "tokens")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    commands = (
        ("train", config, "--store", disk),
        ("evaluate", run, "--store", disk, "--tasks", "copying-1", "--items", 2),
        ("attention", run, "--store", disk, "--prompt", "ab", "--out", disk / "maps.json"),
        ("activations", run, "--store", disk, "--layer", 0, "--tokens", 64, "--out", disk / "x.npy"),
        ("prepare", f"text:{text}", "--store", disk),
    )
    for words in commands:
        done = call_command("scaling", *words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done
        assert str(disk) in done.stderr and "Read-only file system: choose a folder" in done.stderr
    done = call_command("scaling", "generate", run, "--store", disk, "--prompt", "a", "--tokens", 2)
    assert done.returncode == 0 and run_id(tiny) == run
