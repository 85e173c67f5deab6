"""The cache of pieces: bounded at every moment, verified, and shared by processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaling.data.shards.cache import PieceCache

PIECE = np.tile(np.arange(256, dtype=np.uint8), 4)
PROCESS = """
import sys, numpy as np
from pathlib import Path
from scaling.data.shards.cache import PieceCache

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
cache, rng = PieceCache(folder, 20_000), np.random.default_rng(seed)
for number in rng.integers(0, 60, 120):
    name, data = f"n{number}", np.full(500 + 20 * int(number), number, np.uint8)
    found = cache.read(name)
    if found is None:
        cache.store(name, data)
    else:
        assert np.array_equal(found, data)
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size * (path.suffix in (".piece", ".part"))
        except FileNotFoundError:
            pass
    assert total <= 20_000, total
print("done")
"""


def stored(cache: PieceCache) -> set[str]:
    return {path.stem for path in cache.folder.glob("*.piece")}


def test_a_piece_read_longest_ago_leaves_first_and_the_limit_holds(tmp_path: Path) -> None:
    cache = PieceCache(tmp_path / "c", 4_500)
    for i in range(4):
        cache.store(f"p{i}", PIECE)
        os.utime(tmp_path / "c" / f"p{i}.piece", ns=(i, i))
    assert stored(cache) == {"p0", "p1", "p2", "p3"}
    read = cache.read("p0")
    assert read is not None and np.array_equal(read, PIECE)
    cache.store("p4", PIECE)
    assert stored(cache) == {"p0", "p2", "p3", "p4"}
    assert np.array_equal(read, PIECE) and cache.read("p1") is None
    cache.store("large", np.tile(PIECE, 5))
    assert "large" not in stored(cache)


def test_the_limit_holds_after_a_kill_and_for_a_smaller_limit(tmp_path: Path) -> None:
    cache = PieceCache(tmp_path, 5_000)
    for i in range(4):
        cache.store(f"p{i}", PIECE)
    (tmp_path / "p9.part").write_bytes(b"x" * 900)  # of a process that was killed
    (tmp_path / "size").write_text("9999")  # noted before a piece that it did not write
    cache.store("p4", PIECE)
    assert not (tmp_path / "p9.part").exists() and len(stored(cache)) == 4
    (tmp_path / "size").unlink()
    PieceCache(tmp_path, 2_200).store("p5", PIECE)
    assert stored(cache) == {"p5", "p4"} or len(stored(cache)) <= 2


@pytest.mark.parametrize("damage", ["byte", "hash", "short", "empty", "another piece"])
def test_a_damaged_piece_is_named_and_removed(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture) -> None:
    cache = PieceCache(tmp_path, 10_000)
    cache.store("p", PIECE)
    cache.store("q", PIECE[::-1].copy())
    assert cache.read("p") is not None  # verified once, and again when the file changes
    path = tmp_path / "p.piece"
    data = path.read_bytes()
    path.write_bytes(
        {
            "byte": data[:99] + b"!" + data[100:], "hash": data[:-1] + bytes([data[-1] ^ 1]), "short": data[:-300],
            "empty": b"", "another piece": (tmp_path / "q.piece").read_bytes(),
        }[damage]
    )  # fmt: skip
    assert cache.read("p") is None and not path.exists()
    assert capsys.readouterr().err == f"{path}: damaged piece of a cache, fetched again\n"


def test_a_folder_that_cannot_be_written_is_said_once_and_the_run_goes_on(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    cache = PieceCache(tmp_path / "file", 10_000)
    for name in ("p", "q"):
        cache.store(name, PIECE)
        assert cache.read(name) is None
    assert cache.is_full and capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_processes_that_share_a_cache_never_exceed_its_limit(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PROCESS, str(tmp_path / "c")]
    processes = [subprocess.Popen([*line, str(seed)], stdout=subprocess.PIPE, text=True) for seed in (1, 2)]
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 2
    assert np.sum([path.stat().st_size for path in (tmp_path / "c").glob("*.piece")]) <= 20_000
