"""`python -m scaling sae features RUN`: one page of the latents of a sparse autoencoder, with text and effects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scaling.config.exit_status import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("run", metavar="RUN", help="run id of the autoencoder, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run and its model")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the page, index.html")
    parser.add_argument("--latents", type=int, metavar="N", help="show the first N latents (default 4096)")
    parser.add_argument("--tokens", type=int, metavar="N", help="held-out tokens of text (default 200000)")
    parser.add_argument("--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last)")
    add_code_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its path."""
    from scaling.config.placement import Placement
    from scaling.config.user_code.blocks import use_code
    from scaling.config.validation import require
    from scaling.evaluation.sae.page import LATENTS, TOKENS, page_data, render_page
    from scaling.evaluation.sae.text import held_out_rows, load_subject
    from scaling.inference.sae.load import load_sae
    from scaling.program import compile_cache
    from scaling.store.files import write_atomic
    from scaling.store.open import open_store

    latents = LATENTS if args.latents is None else args.latents
    tokens = TOKENS if args.tokens is None else args.tokens
    require(latents > 0, f"--latents {latents}: must be 1 or more")
    use_code(args.code)
    store = open_store(args.store)
    compile_cache.configure_cache(Placement())
    subject = load_subject(store, load_sae(store, args.run, args.step))
    rows_SX = held_out_rows(store, subject.model, tokens)
    total = rows_SX[:, 1:].size
    if total < tokens:
        print(f"scaling sae features: {total:,} tokens instead of {tokens:,}: the text has no more", file=sys.stderr)
    page = render_page(subject, page_data(subject, rows_SX, latents), total)
    path = args.out / "index.html"
    write_atomic(path, page.encode())
    print(path)
    return DONE
