"""Options of the measurements of data, apart from them so that `--help` imports nothing."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.config.options import option


@dataclass(frozen=True, kw_only=True)
class PreparingOptions:
    """What is prepared."""

    megabytes: int = option(64, "text that is prepared, in MB")
    tokenizer: str = option("", "a tokenizer.json, or its folder (default: a byte-level BPE trained for this)")
    processes: int = option(0, "processes, and threads of the library alone (default: one per core)")
    rounds: int = option(3, "turns of preparation and library")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What is read, and from which store."""

    tokens: int = option(1 << 28, "tokens of the corpus, 2 bytes each on this disk")
    shard: int = option(1 << 26, "tokens of a shard")
    length: int = option(1024, "context length in tokens")
    batch: int = option(256, "sequences per step on this host")
    latency: float = option(0.05, "seconds before the first byte of an answer")
    rate: float = option(100e6, "bytes per second of one answer")
    demand: float = option(1e6, "tokens per second that training demands")
    seconds: float = option(15.0, "length of each measurement")
