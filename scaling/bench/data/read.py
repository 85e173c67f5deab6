"""How quickly a host reads tokens from an object store, and how long a step waits for them, in both orders.

The store is a server process with delays (`object_store`). Each order is read twice from a cold cache: as fast as
possible, and at the rate that training demands, where the share of the time that steps wait is measured. Beside it the
library alone, fsspec's `cat_ranges`, makes the requests of the same pieces or windows, without cache, order or batches.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.bench.data.object_store import running_store
from scaling.bench.data.options import ReadingOptions
from scaling.config.objective import DataConfig
from scaling.data.shards.blocks import BlockOrder
from scaling.data.shards.fetching import WORKERS
from scaling.data.shards.manifest import MANIFEST, Shard, ShardManifest, content_hash, encode_manifest
from scaling.data.shards.reader import ReadOptions, open_shards
from scaling.data.shards.sources import CONCURRENT_REQUESTS, RemoteShards
from scaling.data.windows import WindowOrder, prefetch_rows, read_rows, rows_ahead

VOCAB, DTYPE = 1 << 16, "<u2"
ROUNDS = 3  # turns of ours and of the library


@dataclass(frozen=True)
class _Bench:
    """One order on one store.

    Attributes:
        address: Address of the shards.
        blocks: Sizes of the order `blocks`; None for `random`.
        options: What is read.
        folder: Where caches are put.
    """

    address: str
    blocks: BlockOrder | None
    options: ReadingOptions
    folder: Path

    @contextmanager
    def open(self) -> Iterator[WindowOrder]:
        """Context with the corpus and an empty cache; none for `random`, which is measured beyond the cache."""
        gigabytes = 0.0 if self.blocks is None else ReadOptions().cache_gb
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            tokens = open_shards(self.address, ReadOptions(cache_folder=Path(cache), cache_gb=gigabytes))
            yield WindowOrder(tokens, 0, self.options.length, None, None, self.blocks)


def write_random_shards(folder: Path, options: ReadingOptions) -> None:
    """Writes a corpus of random tokens with its manifest.

    Args:
        folder: The folder.
        options: Its size, and that of a shard.
    """
    rng, shards = np.random.default_rng(0), list[Shard]()
    for split, count in (("train", options.tokens), ("validation", options.length + 1)):
        for start in range(0, count, options.shard):
            size = min(options.shard, count - start)
            data = rng.integers(0, VOCAB, size, np.uint16).astype(DTYPE).tobytes()
            name = f"{split}-{len(shards):05d}.bin"
            (folder / name).write_bytes(data)
            shards.append(Shard(split, name, size, hashlib.sha256(data).hexdigest()))
    counts = (options.tokens, options.length + 1)
    identity = content_hash(DTYPE, VOCAB, counts, shards)
    manifest = ShardManifest("random", "bytes", VOCAB, None, 1, {}, DTYPE, counts, identity, tuple(shards))
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))


class BatchReader:
    """Batches of one host in order, each read in a thread while the step before it lasts, as training reads them."""

    def __init__(self, order: WindowOrder, batch: int) -> None:
        self.order, self.batch, self._ahead = order, batch, 0

    def read(self, step: int) -> np.ndarray:
        """Reads the batch of a step, then starts to fetch what later steps read."""
        rows = read_rows(self.order, step * self.batch + np.arange(self.batch))
        first = max(self._ahead, (step + 1) * self.batch)
        self._ahead = (step + 1) * self.batch + rows_ahead(self.order)
        for start in range(first, self._ahead, self.batch):
            prefetch_rows(self.order, np.arange(start, min(start + self.batch, self._ahead)))
        return rows


def read_at_demand(order: WindowOrder, options: ReadingOptions, demand: float) -> dict[str, float]:
    """Reads batches for some seconds, with a pause after each that stands for the step.

    Args:
        order: What is read.
        options: Size of the batch, and seconds.
        demand: Tokens per second of the steps; infinite: no pause.

    Returns:
        Tokens per second with the first batch, seconds of this process's processors per million tokens, seconds until
        the first batch, and the share of the time after it that steps waited.
    """
    reader, pause = BatchReader(order, options.batch), options.batch * options.length / demand
    waits: list[float] = []
    began, processor = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(1) as pool:
        next_batch = pool.submit(reader.read, 0)
        while not waits or time.monotonic() - began - waits[0] < options.seconds:
            waiting_since = time.monotonic()
            next_batch.result()
            waits.append(time.monotonic() - waiting_since)
            next_batch = pool.submit(reader.read, len(waits))
            time.sleep(pause)
        elapsed, used = time.monotonic() - began, time.process_time() - processor
    tokens = len(waits) * options.batch * options.length
    return {
        "tokens_per_second": tokens / elapsed,
        "cpu_seconds_per_million": used / (tokens / 1e6),
        "first_batch_seconds": waits[0],
        "wait_share": sum(waits[1:]) / (elapsed - waits[0]),
    }


def library_rate(order: WindowOrder, options: ReadingOptions) -> dict[str, float]:
    """Returns tokens per second, and processor seconds per million, of fsspec's `cat_ranges` with the same requests.

    Args:
        order: What is read.
        options: Seconds to spend.
    """
    source = order.tokens.train.source  # type: ignore[attr-defined]
    assert isinstance(source, RemoteShards)
    read, began, processor = 0, time.monotonic(), time.process_time()
    for requests in _requests(order, options):
        names, starts, ends = zip(*requests, strict=True)
        limit = WORKERS if order.blocks is not None else WORKERS * CONCURRENT_REQUESTS
        answers = source.fs.cat_ranges(list(names), list(starts), list(ends), batch_size=limit, on_error="raise")
        read += sum(map(len, answers))
        if time.monotonic() - began > options.seconds:
            break
    tokens, elapsed = read / np.dtype(DTYPE).itemsize, time.monotonic() - began
    used = time.process_time() - processor
    return {"tokens_per_second": tokens / elapsed, "cpu_seconds_per_million": used / (tokens / 1e6)}


def _requests(order: WindowOrder, options: ReadingOptions) -> Iterator[Sequence[tuple[str, int, int]]]:
    """Returns the requests of pieces of one group after another, or of the windows of sixteen batches each."""
    pieces, source, rows = order.pieces, order.tokens.train.source, 0  # type: ignore[attr-defined]
    while True:
        count = order.blocks.group * order.width if order.blocks else WORKERS * options.batch
        windows = order.first_windows(rows + np.arange(count)) * order.step
        rows += count
        if order.blocks is None:
            ranges = [(int(start), int(start) + order.length + 1) for start in windows]
        else:
            starts = [int(number) * pieces.tokens for number in np.unique(windows // pieces.tokens)]
            ranges = [(start, min(start + pieces.tokens + pieces.overlap, options.tokens)) for start in starts]
        yield source.requests(ranges)


def measure_reading(options: ReadingOptions) -> dict[str, Any]:
    """Measures both orders.

    Args:
        options: What is read.

    Returns:
        Per order: medians over the rounds of tokens per second as fast as possible, of the library alone and of their
        ratio within a round; then the figures at the demanded rate.
    """
    orders = {"random": None, "blocks": BlockOrder(DataConfig.block_tokens, DataConfig.block_group)}
    with _store(options) as (address, folder):
        return {name: _measure_order(_Bench(address, blocks, options, folder)) for name, blocks in orders.items()}


@contextmanager
def _store(options: ReadingOptions) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        folder = Path(name)
        (folder / "bucket").mkdir()
        write_random_shards(folder / "bucket", options)
        with running_store(folder / "bucket", latency=options.latency, rate=options.rate) as address:
            yield address, folder


def _measure_order(bench: _Bench) -> dict[str, float]:
    options, ours, library = bench.options, [], []
    for _ in range(ROUNDS):
        with bench.open() as order:
            library.append(library_rate(order, options))
        with bench.open() as order:
            ours.append(read_at_demand(order, options, float("inf")))
    with bench.open() as order:
        at_demand = read_at_demand(order, options, options.demand)
    rounds = list(zip(ours, library, strict=True))
    return {
        "tokens_per_second": statistics.median(a["tokens_per_second"] for a in ours),
        "library_tokens_per_second": statistics.median(b["tokens_per_second"] for b in library),
        "ratio": statistics.median(a["tokens_per_second"] / b["tokens_per_second"] for a, b in rounds),
        "cpu_seconds_per_million": statistics.median(a["cpu_seconds_per_million"] for a in ours),
        "library_cpu_seconds_per_million": statistics.median(b["cpu_seconds_per_million"] for b in library),
        "at_demand_tokens_per_second": at_demand["tokens_per_second"],
        "at_demand_first_batch_seconds": at_demand["first_batch_seconds"],
        "at_demand_wait_share": at_demand["wait_share"],
    }


def as_lines(results: dict[str, dict[str, float]], options: ReadingOptions) -> list[str]:
    """Formats the results for a terminal.

    Args:
        results: As `measure_reading` returns them.
        options: What was read.
    """
    lines = [
        f"reading: {options.latency * 1e3:.0f} ms per request, {options.rate / 1e6:.0f} MB/s per stream; waiting at "
        f"{options.demand:,.0f} tokens/s demanded",
        f"{'order':>7} {'tokens/s':>13} {'fsspec alone':>13} {'ratio':>6} {'CPU s/1e6':>10} {'fsspec':>7} "
        f"{'first batch':>12} {'waiting':>8}",
    ]
    for name, r in results.items():
        lines.append(
            f"{name:>7} {r['tokens_per_second']:>13,.0f} {r['library_tokens_per_second']:>13,.0f} {r['ratio']:>6.2f} "
            f"{r['cpu_seconds_per_million']:>10.3f} {r['library_cpu_seconds_per_million']:>7.3f} "
            f"{r['at_demand_first_batch_seconds']:>10.2f} s {r['at_demand_wait_share']:>8.2%}"
        )
    return lines
