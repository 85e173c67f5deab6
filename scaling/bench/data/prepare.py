"""How quickly a corpus is prepared, beside the tokeniser's library alone on the same text and cores.

The text is Python's standard library, in JSON lines; the tokeniser a byte-level BPE trained on a part of it, unless the
user names one. The library encodes the whole text, which is in memory already, with its own threads and in one call.
The preparation reads files, splits by hash, encodes in processes, hashes and writes shards, and starts and ends within
the measured time. Both take turns; of each the median is taken.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from scaling.bench.data.options import PreparingOptions
from scaling.config.validation import require
from scaling.data.corpora import cpython
from scaling.data.prepare import PrepareOptions
from scaling.data.prepare.options import SHARD_TOKENS, available_cores
from scaling.data.prepare.prepare import prepare
from scaling.data.shards.manifest import SUFFIX, read_manifest
from scaling.data.tokenizers import make_tokenizer
from scaling.data.tokenizers.hugging_face import tokenizer_path
from scaling.data.tokens import TOKEN_BYTES

VOCAB, TRAINING_BYTES = 16_000, 4_000_000  # of the tokeniser that is trained for the measurement
END = "<|endoftext|>"
FILES_PER_PROCESS = 4  # so that no process waits long for the last job
TARGET_TOKENS = 10**13  # of the corpus on paper


def measure_preparation(options: PreparingOptions) -> dict[str, Any]:
    """Measures the preparation of a corpus and the library alone.

    Args:
        options: What is prepared.

    Returns:
        Tokens, and for each side tokens per second of wall time and of processor time, with their ratios.

    Raises:
        ConfigError: An option is out of range.
        CorpusError: The tokeniser cannot be used.
    """
    require(min(options.megabytes, options.rounds) > 0, "--megabytes and --rounds must be 1 or more")
    processes = options.processes or available_cores()
    os.environ.setdefault("RAYON_NUM_THREADS", str(processes))  # of the library tokenizers
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        documents = take_bytes(cpython.open_corpus("", {}).documents(), options.megabytes * 10**6)
        files = write_files(folder / "text", documents, processes * FILES_PER_PROCESS)
        path = tokenizer_path(options.tokenizer) if options.tokenizer else train_tokenizer(folder, documents)
        library, spec = library_encoder(path, documents), f"hf:{path}"
        make_tokenizer(spec, lambda: iter(documents), folder)  # what cannot be used is an error before the measurement
        shards = PrepareOptions(processes=processes, shard_tokens=max(1, files.size // len(files.names) // 4))
        sides: dict[str, list[tuple[float, float]]] = {"prepare": [], "library": []}
        for turn in range(options.rounds):
            out = folder / f"tokens-{turn}"
            sides["prepare"].append(timed(partial(prepare, files.spec, out, tokenizer=spec, options=shards)))
            sides["library"].append(timed(library))
        manifest = read_manifest(next((folder / "tokens-0").glob(f"*{SUFFIX}")))
    facts = {
        "tokens": sum(manifest.counts), "documents": len(documents), "bytes": sum(map(len, documents)),
        "processes": processes, "vocab": manifest.vocab, "bytes_per_token": TOKEN_BYTES[manifest.dtype],
        "rounds": options.rounds,
    }  # fmt: skip
    return summarise(sides, facts)


@dataclass(frozen=True)
class Files:
    """Files of JSON lines.

    Attributes:
        spec: Specification of their corpus.
        names: Their paths.
        size: Bytes of all.
    """

    spec: str
    names: list[Path]
    size: int


def take_bytes(documents: Iterator[bytes], size: int) -> list[bytes]:
    """Returns documents of so many bytes in all, from the start again where there are fewer.

    Args:
        documents: The documents.
        size: Bytes.
    """
    taken, total = list[bytes](), 0
    for document in cycle(documents):
        if total >= size:
            break
        taken.append(document)
        total += len(document)
    return taken


def write_files(folder: Path, documents: list[bytes], count: int) -> Files:
    """Writes documents as files of JSON lines.

    Args:
        folder: Where the files are made.
        documents: The documents.
        count: Number of files.
    """
    folder.mkdir()
    names = [folder / f"{i:04d}.jsonl" for i in range(count)]
    for i, path in enumerate(names):
        lines = (json.dumps({"text": document.decode()}) for document in documents[i::count])
        path.write_text("".join(f"{line}\n" for line in lines))
    return Files(f"jsonl:{folder}", names, sum(path.stat().st_size for path in names))


def train_tokenizer(folder: Path, documents: list[bytes]) -> Path:
    """Trains a byte-level BPE and returns its file."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    texts = take_bytes(iter(documents), min(TRAINING_BYTES, sum(map(len, documents))))
    library.train_from_iterator((text.decode() for text in texts), trainer)
    path = folder / "tokenizer.json"
    library.save(str(path))
    return path


def library_encoder(path: Path, documents: list[bytes]) -> Callable[[], int]:
    """Returns a function that encodes all documents with the library alone, in one call, and counts the tokens.

    Args:
        path: A tokenizer.json.
        documents: The documents.
    """
    from tokenizers import Tokenizer as LibraryTokenizer

    library, texts = LibraryTokenizer.from_file(str(path)), [document.decode() for document in documents]
    library.no_truncation()
    library.no_padding()
    return lambda: sum(map(len, library.encode_batch(texts, add_special_tokens=False)))


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Returns the wall and processor seconds of a call, of this process and those that it starts."""
    begun, before = time.perf_counter(), processor_seconds()
    call()
    return time.perf_counter() - begun, processor_seconds() - before


def processor_seconds() -> float:
    """Returns the processor seconds of this process and of its processes that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def on_paper(rate: float, cores: int, bytes_per_token: int) -> dict[str, float]:
    """Returns what a corpus of TARGET_TOKENS takes, at a measured rate.

    Args:
        rate: Tokens per second of all cores.
        cores: Cores that were measured.
        bytes_per_token: Bytes of a token.
    """
    return {
        "tokens": TARGET_TOKENS,
        "shards": math.ceil(TARGET_TOKENS / SHARD_TOKENS),
        "bytes": TARGET_TOKENS * bytes_per_token,
        "core_hours": TARGET_TOKENS / (rate / cores) / 3600,
        "hours_at_1000_cores": TARGET_TOKENS / (rate / cores) / 3600 / 1000,
    }


def summarise(sides: dict[str, list[tuple[float, float]]], facts: dict[str, Any]) -> dict[str, Any]:
    """Returns rates and ratios.

    Args:
        sides: Wall and processor seconds of each turn.
        facts: Tokens, documents, bytes and processes.
    """
    result: dict[str, Any] = dict(facts)
    for i, clock in enumerate(("wall", "processor")):
        for name, turns in sides.items():
            result[f"{name}_{clock}_seconds"] = statistics.median(turn[i] for turn in turns)
            result[f"{name}_tokens_per_{clock}_second"] = facts["tokens"] / result[f"{name}_{clock}_seconds"]
        pairs = zip(sides["prepare"], sides["library"], strict=True)
        result[f"{clock}_ratio"] = statistics.median(library[i] / ours[i] for ours, library in pairs)
    rate = result["prepare_tokens_per_processor_second"] * facts["processes"]
    result["on_paper"] = on_paper(rate, facts["processes"], facts["bytes_per_token"])
    return result


def as_lines(result: dict[str, Any]) -> list[str]:
    """Returns the result as text.

    Args:
        result: Of `measure_preparation`.
    """
    paper = result["on_paper"]
    size, processes = f"{result['tokens']:,} tokens of {result['bytes'] / 1e6:.0f} MB", result["processes"]
    lines = [f"preparation of {size} in {processes} processes; the library alone with as many threads:"]
    for name in ("prepare", "library"):
        wall, processor = (result[f"{name}_tokens_per_{clock}_second"] / 1e6 for clock in ("wall", "processor"))
        lines.append(f"  {name:8}{wall:8.3f}M tokens/s{processor:8.3f}M tokens per processor second")
    lines.append(
        f"  ratio   {result['wall_ratio']:8.2f} of wall time{result['processor_ratio']:8.2f} of processor time"
    )
    sizes = f"{paper['shards']:,} shards, {paper['bytes'] / 1e12:.0f} TB"
    return [*lines, f"{paper['tokens']:.0e} tokens: {sizes}, {paper['core_hours']:,.0f} hours of such a core"]
