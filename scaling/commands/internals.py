"""python -m scaling attention RUN, activations RUN: what a trained model computes on its way, to a file."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def add_attention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run id, or how it begins; its newest checkpoint is taken")
    parser.add_argument("--store", required=True, metavar="DIR")
    parser.add_argument("--prompt", required=True, metavar="TEXT")
    parser.add_argument("--layer", type=int, default=0, metavar="I", help="counted from 0 (default)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE",
                        help=".json or .npz; `python -m analysis figure attention FILE.json` draws it")  # fmt: skip


def add_activations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run id, or how it begins; its newest checkpoint is taken")
    parser.add_argument("--store", required=True, metavar="DIR")
    parser.add_argument("--layer", required=True, type=int, metavar="I", help="counted from 0")
    parser.add_argument("--site", default="residual", metavar="SITE",
                        help="residual: the stream after it (default); attention or mlp: what that adds")  # fmt: skip
    parser.add_argument("--tokens", type=float, default=1e6, metavar="N", help="positions of the text (default 1e6)")
    parser.add_argument("--split", default="train", metavar="SPLIT", help="train (default) or validation")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=".npy (and FILE.npy.json) or .parquet")


def attention(args: argparse.Namespace) -> int:
    """Writes each head's map of a prompt."""
    import numpy as np

    from scaling.commands.generate import decoded, encoded
    from scaling.config.validation import ConfigError
    from scaling.inference.activations import attention_maps
    from scaling.inference.load import load
    from scaling.store.files import write_atomic
    from scaling.store.open import open_store

    if args.out.suffix not in (".json", ".npz"):
        raise ConfigError(
            f"--out {args.out}: must be .json or .npz; then draw it: python -m analysis figure attention FILE.json "
            f"--out {args.out}"
        )
    of = load(open_store(args.store), args.run)
    tokens = encoded(of, args.prompt)
    weights_HLM = attention_maps(of, tokens, args.layer)
    about = {"kind": "attention", "run_id": of.record.run_id, "step": of.step, "layer": args.layer}
    about |= {"prompt": args.prompt, "tokens": tokens.tolist(), "pieces": [decoded(of, [t]) for t in tokens.tolist()]}
    if args.out.suffix == ".json":
        rows = [[[float(str(w)) for w in row] for row in head] for head in weights_HLM]
        data = json.dumps({**about, "weights": rows}, allow_nan=False).encode()
    else:
        out = io.BytesIO()
        np.savez_compressed(out, weights=weights_HLM, about=np.array(json.dumps(about)))
        data = out.getvalue()
    write_atomic(args.out, data)
    print(args.out)
    return 0


def activations(args: argparse.Namespace) -> int:
    """Writes activations as they are computed; the file gets its name when it is whole."""
    from scaling.config.validation import ConfigError, require
    from scaling.data import tokens
    from scaling.inference.activations import Site, check_count
    from scaling.inference.activations import activations as taken
    from scaling.inference.load import load
    from scaling.store.open import open_store

    require(args.tokens >= 1 and args.tokens == int(args.tokens), f"--tokens {args.tokens:g}: must be a whole number")
    if args.out.suffix not in WRITERS:
        raise ConfigError(f"--out {args.out}: must be {' or '.join(WRITERS)}")
    store, count, at = open_store(args.store), int(args.tokens), Site(args.layer, args.site)
    of = load(store, args.run)
    at.check(of)
    text = tokens.open_tokens(tokens.find_tokens(store.token_files, of.config.data.tokens))
    check_count(of, text, count, args.split)
    about: dict[str, Any] = {
        "kind": "activations", "run_id": of.record.run_id, "step": of.step, "layer": args.layer, "site": args.site,
        "count": count, "width": of.model.width, "split": args.split, "tokens": of.config.data.tokens,
        "length": of.config.data.length,
    }  # fmt: skip
    WRITERS[args.out.suffix](args.out, about, taken(of, text, at, count=count, split=args.split))
    print(args.out)
    return 0


def write_npy(out: Path, about: dict[str, Any], parts: Any) -> None:
    """float32 (count, width), and beside it what it is of."""
    import numpy as np

    from scaling.store.files import write_json

    header = {"descr": "<f4", "fortran_order": False, "shape": (about["count"], about["width"])}
    with growing(out, about) as (path, tell):
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for values_XD, _ in parts:
                file.write(np.ascontiguousarray(values_XD, "<f4").tobytes())
                tell(len(values_XD))
            sync(file)
        write_json(out.with_name(out.name + ".json"), about)


def write_parquet(out: Path, about: dict[str, Any], parts: Any) -> None:
    """Columns sequence, position, token, activation; what it is of in the schema's metadata, under `scaling`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    width, length, at = about["width"], about["length"], 0
    columns = [("sequence", pa.int64()), ("position", pa.int32()), ("token", pa.int32())]
    schema = pa.schema([*columns, ("activation", pa.list_(pa.float32(), width))], {"scaling": json.dumps(about)})
    with growing(out, about) as (path, tell), path.open("wb") as file:
        with pq.ParquetWriter(file, schema) as writer:
            for values_XD, tokens_X in parts:
                place_X = np.arange(at, at + len(tokens_X))
                flat = pa.FixedSizeListArray.from_arrays(pa.array(values_XD.reshape(-1)), width)
                places = (place_X // length, (place_X % length).astype(np.int32), tokens_X)
                named = [*(pa.array(column) for column in places), flat]
                writer.write_table(pa.table(named, schema=schema))
                at += len(tokens_X)
                tell(len(tokens_X))
        sync(file)


@contextmanager
def growing(out: Path, about: dict[str, Any]) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A hidden file that gets the name `out` when all is in it, and goes where it is cut short; and how far it is."""
    count, needed = about["count"], 4 * about["count"] * about["width"]
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"no room: {needed:,} bytes are needed, {free:,} are free", str(out))
    path, done, spoken = out.with_name(f".{out.name}.{os.getpid()}"), 0, time.monotonic()

    def tell(more: int) -> None:
        nonlocal done, spoken
        done += more
        if time.monotonic() - spoken > SECONDS or (done == count and count > more):
            spoken = time.monotonic()
            print(f"{done:,} of {count:,} positions", file=sys.stderr)

    try:
        yield path, tell
        os.replace(path, out)
    finally:
        path.unlink(missing_ok=True)


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


SECONDS = 5.0  # between two words of how far it is
WRITERS = {".npy": write_npy, ".parquet": write_parquet}
