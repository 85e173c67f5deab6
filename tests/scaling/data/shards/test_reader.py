"""Shards on this machine and behind a server: the same tokens, few requests, and errors of one line."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.shards import sources
from scaling.data.shards.blocks import BlockOrder
from scaling.data.shards.manifest import MANIFEST, SUFFIX
from scaling.data.shards.reader import ReadOptions, ShardedTokens, open_shards
from scaling.data.tokens import CorpusError, find_corpus, find_tokens, open_tokens, read_header
from scaling.data.windows import WindowOrder, prefetch_rows, read_rows
from tests.support.corpora import write_shards

TRAIN = np.random.default_rng(0).integers(0, 257, 50_000).astype("<u2")
VALIDATION = np.arange(3_000) % 256
IN_BLOCKS, AT_RANDOM = BlockOrder(1_024, 4), None
GB = 1e-9  # bytes


class Server(ThreadingHTTPServer):
    """Serves files by ranges; counts requests and bytes, and fails those that `failures` names."""

    request_queue_size = 128  # with 5, connections beyond them are lost and come again after seconds
    folder: Path
    requests: list[str]
    failures: Counter[str]  # name of the file -> how many requests for it fail

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x.shards"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            return self.answer(404, b"")
        if self.server.failures[path.name] > 0:
            self.server.failures[path.name] -= 1
            return self.answer(503, b"")
        data, span = path.read_bytes(), self.headers["Range"]
        if span:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            data = data[first : last + 1]
        self.server.requests.append(f"{path.name} {span}")
        self.answer(206 if span else 200, data)

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.folder, server.requests, server.failures = tmp_path_factory.mktemp("bucket"), [], Counter()
    write_shards(server.folder / "x.shards", TRAIN, VALIDATION, sizes=(7_001, 12_288, 33))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remote(server: Server, tmp_path: Path) -> ShardedTokens:
    """The corpus behind the server, with a cache of half of it."""
    tokens = open_shards(server.address, ReadOptions(cache_gb=50_000 * GB, cache_folder=tmp_path / "cache"))
    server.requests.clear()
    return tokens


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FIRST_WAIT", 0.001)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(-50_100, 50_100), stop=st.integers(-50_100, 50_100), step=st.integers(1, 9), n=st.integers(0, 5)
)
def test_a_split_is_indexed_like_an_array(local: ShardedTokens, start: int, stop: int, step: int, n: int) -> None:
    np.testing.assert_array_equal(local.train[start:stop:step], TRAIN[start:stop:step])
    index = np.random.default_rng(n).integers(-50_000, 50_000, (n, 3))
    np.testing.assert_array_equal(local.train[index], TRAIN[index])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> ShardedTokens:
    folder = tmp_path_factory.mktemp("local") / "x.shards"
    write_shards(folder, TRAIN, VALIDATION, sizes=(7_001, 12_288, 33))
    return open_shards(folder)


def test_a_split_behind_a_server_is_indexed_like_an_array(remote: ShardedTokens) -> None:
    assert len(remote.train) == 50_000 and len(remote.validation) == 3_000 and remote.train.dtype == "<u2"
    np.testing.assert_array_equal(remote.train[6_990:7_100], TRAIN[6_990:7_100])
    np.testing.assert_array_equal(remote.train[np.array([[-1, 3], [7_001, 7_000]])], TRAIN[[[-1, 3], [7_001, 7_000]]])
    np.testing.assert_array_equal(remote.validation[:], VALIDATION)
    with pytest.raises(IndexError):
        remote.train[np.array([50_000])]


@pytest.mark.parametrize("blocks", [AT_RANDOM, IN_BLOCKS])
@pytest.mark.parametrize("unique", [None, 20_000])
def test_rows_from_a_server_equal_those_on_disk_fetched_ahead_or_not(
    remote: ShardedTokens, local: ShardedTokens, blocks: BlockOrder | None, unique: int | None
) -> None:
    rows = np.arange(880)
    expected = read_rows(WindowOrder(local, 3, 64, unique, None, blocks), rows)
    order = WindowOrder(remote, 3, 64, unique, None, blocks)
    for start in range(0, 880, 40):
        prefetch_rows(order, rows[start + 40 : start + 80])
        read = read_rows(order, rows[start : start + 40])
        np.testing.assert_array_equal(read, expected[start : start + 40])
    assert remote.train.cache is not None
    assert sum(path.stat().st_size for path in remote.train.cache.folder.glob("*.piece")) <= 50_000


def test_blocks_fetch_each_piece_once_per_epoch_and_random_rows_one_window_each(
    remote: ShardedTokens, server: Server
) -> None:
    order = WindowOrder(remote, 3, 64, None, None, IN_BLOCKS)
    for start in range(0, 781, 40):
        prefetch_rows(order, np.arange(start, min(start + 80, 781)))
        read_rows(order, np.arange(start, min(start + 40, 781)))
    shards = len(remote.manifest.split("train"))
    assert len(server.requests) <= 49 + shards, "49 blocks, some of which lie in two shards"
    server.requests.clear()
    read_rows(WindowOrder(remote, 3, 64), np.arange(40))
    assert 40 <= len(server.requests) <= 43


def test_a_host_fetches_only_the_pieces_of_its_own_rows(remote: ShardedTokens, server: Server) -> None:
    order = WindowOrder(remote, 3, 64, None, None, IN_BLOCKS)
    for step in range(16):  # of 8 rows, of which this host has 2
        read_rows(order, step * 8 + np.arange(2))
    pieces = {int(window) // 16 for window in order.windows((np.arange(16)[:, None] * 8 + np.arange(2)).ravel())}
    assert len(pieces) == 4, "half of the blocks of two groups"
    assert len(server.requests) <= 4 + 2


def test_a_damaged_piece_is_fetched_again(remote: ShardedTokens, server: Server, capsys: pytest.CaptureFixture) -> None:
    order = WindowOrder(remote, 3, 64, None, None, IN_BLOCKS)
    expected = read_rows(order, np.arange(64))
    assert remote.train.cache is not None
    for path in remote.train.cache.folder.glob("*.piece"):
        path.write_bytes(b"!" + path.read_bytes()[1:])
    server.requests.clear()
    np.testing.assert_array_equal(read_rows(order, np.arange(64)), expected)
    assert len(server.requests) >= 4 and "damaged piece of a cache, fetched again" in capsys.readouterr().err


def test_requests_that_fail_are_repeated_and_then_one_line(remote: ShardedTokens, server: Server) -> None:
    order, name = WindowOrder(remote, 3, 64), remote.manifest.shards[0].name
    server.failures[name] = 3
    np.testing.assert_array_equal(remote.train[:100], TRAIN[:100])
    server.failures[name] = 10**6
    with pytest.raises(CorpusError, match=rf"^{server.address}/{name}: cannot be read after 6 attempts: 503"):
        read_rows(order, np.arange(200))
    server.failures.clear()
    (server.folder / "x.shards" / name).rename(server.folder / "moved")
    with pytest.raises(CorpusError, match=rf"^{server.address}/{name}: does not exist: restore it from a copy"):
        remote.train[:100]
    whole = (server.folder / "moved").read_bytes()
    (server.folder / "x.shards" / name).write_bytes(whole[:50])
    with pytest.raises(CorpusError, match=rf"^{server.address}/{name}: 50 bytes instead of 200: truncated"):
        remote.train[:100]
    (server.folder / "moved").replace(server.folder / "x.shards" / name)


def test_shards_on_this_machine_are_verified(tmp_path: Path) -> None:
    folder = tmp_path / f"text-x-{'0' * 16}.shards"
    manifest = write_shards(folder, TRAIN, VALIDATION, sizes=(20_000,))
    path = folder / manifest.shards[1].name
    open_shards(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"!!")
    with pytest.raises(CorpusError, match=rf"^{path}: altered: its content does not match the manifest"):
        open_shards(folder)
    path.write_bytes(data[:-2])
    with pytest.raises(CorpusError, match=rf"^{path}: 39998 bytes where the manifest says 40000"):
        open_shards(folder)
    path.unlink()
    with pytest.raises(CorpusError, match=rf"^{path}: cannot be read: No such file"):
        open_shards(folder)


def test_a_copy_elsewhere_must_have_the_same_content(server: Server, tmp_path: Path, local: ShardedTokens) -> None:
    copy = open_shards(local.path, ReadOptions(address=server.address, cache_gb=0))
    np.testing.assert_array_equal(copy.train[:9], TRAIN[:9])
    assert copy.train.cache is None and copy.train.source.is_remote
    write_shards(tmp_path / "y.shards", TRAIN[:-1], VALIDATION, sizes=(20_000,))
    with pytest.raises(CorpusError, match=r"give the address of a copy of the same corpus$"):
        open_shards(tmp_path / "y.shards", ReadOptions(address=server.address))


def test_sharded_corpora_are_found_like_token_files(tmp_path: Path) -> None:
    write_shards(tmp_path / "draft", TRAIN, VALIDATION, sizes=(20_000,))
    identity = open_shards(tmp_path / "draft").content_hash
    path = tmp_path / f"text-x-{identity[:16]}{SUFFIX}"
    (tmp_path / "draft").rename(path)
    assert find_tokens(tmp_path, identity) == path == find_corpus(tmp_path, "text:x")
    assert find_corpus(tmp_path, "text:y") is None and open_tokens(path).content_hash == identity
    assert read_header(path)["corpus"] == "text:x"
    (path / MANIFEST).unlink()  # not prepared completely
    assert find_corpus(tmp_path, "text:x") is None
