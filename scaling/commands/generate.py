"""python -m scaling generate RUN: text from a trained run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from scaling.inference.load import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run id, or how it begins; its newest checkpoint is taken")
    parser.add_argument("--store", required=True, metavar="DIR")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="may be given more than once")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt a line")
    parser.add_argument("--tokens", type=int, default=100, metavar="N", help="at most, for each prompt (default 100)")
    parser.add_argument("--temperature", type=float, default=1.0, help="0: the likeliest token always (default 1)")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="among the K likeliest alone (0: all)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="among the likeliest that make up P")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop", type=int, metavar="TOKEN", help="that ends a text (default: the end of a document)")
    parser.add_argument("--no-stop", action="store_true", help="go on past the end of a document")
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew for each token: to check")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Prints each prompt with what follows it; after Ctrl-C, as far as it came."""
    from scaling.config.validation import require
    from scaling.inference.load import load
    from scaling.inference.sampling import Sampling, generate
    from scaling.store.open import open_store

    require(args.tokens > 0, f"--tokens {args.tokens}: must be 1 or more")
    require(0 <= args.seed < 2**32, f"--seed {args.seed}: must be in [0, 2**32)")
    how = Sampling(temperature=args.temperature, top_k=args.top_k, top_p=args.top_p)
    texts = [*args.prompt, *(args.prompts.read_text("utf-8").splitlines() if args.prompts else [])] or [""]
    of = load(open_store(args.store), args.run)
    prompts = [encoded(of, text) for text in texts]
    longest, trained = max(map(len, prompts)) + args.tokens, of.config.data.length
    if longest > trained:
        print(f"scaling generate: {longest} tokens are more than the {trained} of training", file=sys.stderr)
    stop = None if args.no_stop else args.stop if args.stop is not None else of.tokenizer.eod
    written: list[list[int]] = [[] for _ in prompts]
    stopped, status, begun = [False] * len(prompts), 0, time.monotonic()
    try:
        for tokens_B in generate(of, prompts, args.tokens, how, seed=args.seed, cache=not args.no_cache):
            for row, token in enumerate(tokens_B.tolist()):
                if not stopped[row]:
                    stopped[row] = token == stop
                    written[row] += [] if stopped[row] else [token]
            if all(stopped):
                break
    except KeyboardInterrupt:
        status = 130
    seconds = time.monotonic() - begun
    rows = [
        {"prompt": text, "text": decoded(of, tokens), "tokens": tokens, "stopped": ended}
        for text, tokens, ended in zip(texts, written, stopped, strict=True)
    ]
    show(
        rows, {"run_id": of.record.run_id, "step": of.step, "seed": args.seed, "seconds": round(seconds, 3)}, args.json
    )
    return status


def show(rows: list[dict[str, Any]], about: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps({**about, "texts": rows}))
        return
    for i, row in enumerate(rows):
        if len(rows) > 1:
            print(f"{chr(10) if i else ''}[{i + 1}]")
        print(row["prompt"] + row["text"])


def encoded(of: Trained, text: str) -> np.ndarray:
    """A prompt's tokens; of an empty one, the end of the document before."""
    import numpy as np

    from scaling.config.validation import require

    require(text.isascii() or text.encode(errors="ignore").decode() == text, "--prompt: must be text in UTF-8")
    tokens = np.asarray(of.tokenizer.encode(text.encode()), np.int32)
    if len(tokens) == 0:
        require(of.tokenizer.eod >= 0, "--prompt: must not be empty: this run's text has no end of a document")
        tokens = np.array([of.tokenizer.eod], np.int32)
    return tokens


def decoded(of: Trained, tokens: list[int]) -> str:
    import numpy as np

    return of.tokenizer.decode(np.array(tokens, np.int64)).decode(errors="replace")
