"""`python -m scaling attention RUN` and `activations RUN`: write intermediate results of a trained model to a file."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from scaling.config.exit_status import DONE
from scaling.config.os_errors import name_file


def add_attention(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `attention`."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("run", metavar="RUN", help="run id, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument(
        "--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last step)"
    )
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="text whose attention weights are computed")
    parser.add_argument("--layer", type=int, default=0, metavar="I", help="index of the layer, from 0 (default 0)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE",
                        help=".json or .npz; `python -m analysis figure attention FILE.json` draws it")  # fmt: skip
    add_code_argument(parser)


def add_activations(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `activations`."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("run", metavar="RUN", help="run id, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument(
        "--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last step)"
    )
    parser.add_argument("--layer", required=True, type=int, metavar="I", help="index of the layer, from 0")
    parser.add_argument("--site", default="residual", metavar="SITE",
                        help="residual (stream after the layer, default), attention or mlp (their output)")  # fmt: skip
    parser.add_argument("--tokens", type=float, default=1e6, metavar="N", help="number of positions (default 1e6)")
    parser.add_argument(
        "--split", default="train", metavar="SPLIT", help="split of the text: train (default) or validation"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=".npy (with FILE.npy.json) or .parquet")
    add_code_argument(parser)


def run_attention(args: argparse.Namespace) -> int:
    """Writes the attention map of each head for a prompt."""
    import numpy as np

    from scaling.config.user_code.blocks import use_code
    from scaling.config.validation import ConfigError
    from scaling.inference.activations import attention_maps
    from scaling.inference.load import load_model
    from scaling.inference.texts import decode_text, encode_prompt
    from scaling.store.files import write_atomic
    from scaling.store.open import open_store

    if args.out.suffix not in (".json", ".npz"):
        raise ConfigError(
            f"--out {args.out}: must be .json or .npz; then draw it: python -m analysis figure attention FILE.json "
            f"--out {args.out}"
        )
    use_code(args.code)
    model = load_model(open_store(args.store), args.run, args.step)
    tokens = encode_prompt(model, args.prompt)
    weights_HLM = attention_maps(model, tokens, args.layer)
    about = {"kind": "attention", "run_id": model.record.run_id, "step": model.step, "layer": args.layer}
    about |= {
        "prompt": args.prompt,
        "tokens": tokens.tolist(),
        "pieces": [decode_text(model, [t]) for t in tokens.tolist()],
    }
    if args.out.suffix == ".json":
        rows = [[[float(str(w)) for w in row] for row in head] for head in weights_HLM]
        data = json.dumps({**about, "weights": rows}, allow_nan=False).encode()
    else:
        out = io.BytesIO()
        np.savez_compressed(out, weights=weights_HLM, about=np.array(json.dumps(about)))
        data = out.getvalue()
    write_atomic(args.out, data)
    print(args.out)
    return DONE


def run_activations(args: argparse.Namespace) -> int:
    """Writes activations while they are computed; the file is renamed to --out once it is complete."""
    from scaling.config.user_code.blocks import use_code
    from scaling.config.validation import ConfigError, require
    from scaling.data import tokens
    from scaling.inference.activations import check_token_count, collect_activations
    from scaling.inference.load import load_model
    from scaling.inference.parameters import require_text
    from scaling.inference.sites import Site
    from scaling.store.open import open_store

    require(args.tokens >= 1 and args.tokens == int(args.tokens), f"--tokens {args.tokens:g}: must be a whole number")
    if args.out.suffix not in WRITERS:
        raise ConfigError(f"--out {args.out}: must be {' or '.join(WRITERS)}")
    use_code(args.code)
    store, count, site = open_store(args.store), int(args.tokens), Site(args.layer, args.site)
    model = load_model(store, args.run, args.step)
    site.check(model.model)
    require_text(model.record)
    text = tokens.open_tokens(tokens.find_tokens(store.token_files, model.config.data.tokens))
    check_token_count(model, text, count, args.split)
    about: dict[str, Any] = {
        "kind": "activations", "run_id": model.record.run_id, "step": model.step, "layer": args.layer,
        "site": args.site,
        "count": count, "width": model.model.width, "split": args.split, "tokens": model.config.data.tokens,
        "length": model.config.data.length,
    }  # fmt: skip
    WRITERS[args.out.suffix](args.out, about, collect_activations(model, text, site, count=count, split=args.split))
    print(args.out)
    return DONE


def write_npy(out: Path, about: dict[str, Any], parts: Any) -> None:
    """Writes a .npy file of float32 (count, width), and FILE.npy.json with its origin.

    Args:
        out: The file.
        about: Origin of the activations, with their count and width.
        parts: Iterator over (activations (n, width), tokens (n,)).
    """
    import numpy as np

    from scaling.store.files import write_json

    header = {"descr": "<f4", "fortran_order": False, "shape": (about["count"], about["width"])}
    with growing_file(out, about) as (path, advance):
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for values_XD, _ in parts:
                file.write(np.ascontiguousarray(values_XD, "<f4").tobytes())
                advance(len(values_XD))
            flush_to_disk(file)
        write_json(out.with_name(out.name + ".json"), about)


def write_parquet(out: Path, about: dict[str, Any], parts: Any) -> None:
    """Writes a Parquet file with the columns sequence, position, token and activation.

    Args:
        out: The file.
        about: Origin of the activations, in the schema's metadata under `scaling`.
        parts: Iterator over (activations (n, width), tokens (n,)).
    """
    import numpy as np
    import pyarrow as pa

    from scaling.store.verification import parquet

    width, length, position = about["width"], about["length"], 0
    columns = [("sequence", pa.int64()), ("position", pa.int32()), ("token", pa.int32())]
    schema = pa.schema([*columns, ("activation", pa.list_(pa.float32(), width))], {"scaling": json.dumps(about)})
    with growing_file(out, about) as (path, advance), path.open("w+b") as file:
        with parquet.open_writer(file, schema) as writer:
            for values_XD, tokens_X in parts:
                place_X = np.arange(position, position + len(tokens_X))
                flat = pa.FixedSizeListArray.from_arrays(pa.array(values_XD.reshape(-1)), width)
                places = (place_X // length, (place_X % length).astype(np.int32), tokens_X)
                named = [*(pa.array(column) for column in places), flat]
                writer.write_table(pa.table(named, schema=schema))
                position += len(tokens_X)
                advance(len(tokens_X))
            writer.add_key_value_metadata(parquet.NO_DIGEST_METADATA)
        parquet.write_digest(file)
        flush_to_disk(file)


@contextlib.contextmanager
def growing_file(out: Path, about: dict[str, Any]) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """Context with a temporary file, renamed to `out` at the end and removed on error, and a progress function.

    Args:
        out: The final path.
        about: Origin of the activations, with their count and width.

    Yields:
        The temporary path, and a function that is called with the number of positions written.
    """
    count, needed = about["count"], 4 * about["count"] * about["width"]
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"not enough space: {needed:,} bytes are needed, {free:,} are free", str(out))
    path, done, printed_at = out.with_name(f".{out.name}.{os.getpid()}"), 0, time.monotonic()

    def advance(positions: int) -> None:
        nonlocal done, printed_at
        done += positions
        if time.monotonic() - printed_at > PROGRESS_SECONDS or (done == count and count > positions):
            printed_at = time.monotonic()
            print(f"{done:,} of {count:,} positions", file=sys.stderr)

    try:
        with name_file(out):
            yield path, advance
            os.replace(path, out)
    finally:
        with contextlib.suppress(OSError):  # on a read-only file system it was not created
            path.unlink()


def flush_to_disk(file: BinaryIO) -> None:
    """Flushes a file and waits until it is on disk."""
    file.flush()
    os.fsync(file.fileno())


PROGRESS_SECONDS = 5.0  # between two progress lines
WRITERS = {".npy": write_npy, ".parquet": write_parquet}
