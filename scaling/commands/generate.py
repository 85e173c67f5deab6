"""`python -m scaling generate RUN`: generates text from a trained run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config.exit_status import DONE, INTERRUPTED

if TYPE_CHECKING:
    import numpy as np

    from scaling.inference.load import TrainedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.options import add_options
    from scaling.config.user_code.blocks import add_code_argument
    from scaling.inference.options import Sampling

    parser.add_argument("run", metavar="RUN", help="run id or its first characters; uses the newest checkpoint")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="a prompt; may be repeated")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="file with one prompt per line")
    parser.add_argument(
        "--tokens", type=int, default=100, metavar="N", help="largest number of new tokens per prompt (default 100)"
    )
    add_options(parser, Sampling)
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (default 0)")
    parser.add_argument("--stop", type=int, metavar="TOKEN", help="token that ends a text (default: end of document)")
    parser.add_argument("--no-stop", action="store_true", help="continue after the end of a document")
    parser.add_argument(
        "--no-cache", action="store_true", help="recompute the whole sequence for each token, as a check of the cache"
    )
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints each prompt with its continuation; Ctrl-C prints the text generated so far."""
    from scaling.config.options import read_options
    from scaling.config.user_code.blocks import use_code
    from scaling.config.validation import require
    from scaling.evaluation.json_lines import read_text
    from scaling.inference.load import load_model
    from scaling.inference.options import Sampling
    from scaling.inference.sampling import generate
    from scaling.store.open import open_store

    require(args.tokens > 0, f"--tokens {args.tokens}: must be 1 or more")
    require(0 <= args.seed < 2**32, f"--seed {args.seed}: must be in [0, 2**32)")
    use_code(args.code)
    sampling = read_options(Sampling, args)
    texts = [*args.prompt, *(read_text(args.prompts).splitlines() if args.prompts else [])] or [""]
    model = load_model(open_store(args.store), args.run)
    prompts = [encode_prompt(model, text) for text in texts]
    longest, trained = max(map(len, prompts)) + args.tokens, model.config.data.length
    if longest > trained:
        print(f"scaling generate: {longest} tokens exceed the training context of {trained}", file=sys.stderr)
    stop = None if args.no_stop else args.stop if args.stop is not None else model.tokenizer.eod
    generated: list[list[int]] = [[] for _ in prompts]
    stopped, status, started_at = [False] * len(prompts), DONE, time.monotonic()
    try:
        for tokens_B in generate(model, prompts, args.tokens, sampling, seed=args.seed, cache=not args.no_cache):
            for row, token in enumerate(tokens_B.tolist()):
                if not stopped[row]:
                    stopped[row] = token == stop
                    generated[row] += [] if stopped[row] else [token]
            if all(stopped):
                break
    except KeyboardInterrupt:
        status = INTERRUPTED
    seconds = time.monotonic() - started_at
    rows = [
        {"prompt": text, "text": decode_text(model, tokens), "tokens": tokens, "stopped": has_stopped}
        for text, tokens, has_stopped in zip(texts, generated, stopped, strict=True)
    ]
    print_texts(
        rows,
        {"run_id": model.record.run_id, "step": model.step, "seed": args.seed, "seconds": round(seconds, 3)},
        args.json,
    )
    return status


def print_texts(rows: list[dict[str, Any]], about: dict[str, Any], as_json: bool) -> None:
    """Prints the texts, or one JSON object with them.

    Args:
        rows: The texts and their prompts.
        about: Facts about the run.
        as_json: Whether to print JSON.
    """
    if as_json:
        print(json.dumps({**about, "texts": rows}))
        return
    for i, row in enumerate(rows):
        if len(rows) > 1:
            print(f"{chr(10) if i else ''}[{i + 1}]")
        print(row["prompt"] + row["text"])


def encode_prompt(model: TrainedModel, text: str) -> np.ndarray:
    """Returns the tokens of a prompt, int32 (L,); an empty one is the end-of-document token.

    Args:
        model: The model.
        text: The text.
    """
    import numpy as np

    from scaling.config.validation import require

    require(text.isascii() or text.encode(errors="ignore").decode() == text, "--prompt: must be text in UTF-8")
    tokens = np.asarray(model.tokenizer.encode(text.encode()), np.int32)
    if len(tokens) == 0:
        require(
            model.tokenizer.eod >= 0, "--prompt: must not be empty: the run's tokenizer has no end-of-document token"
        )
        tokens = np.array([model.tokenizer.eod], np.int32)
    return tokens


def decode_text(model: TrainedModel, tokens: list[int]) -> str:
    """Returns the text of tokens; invalid UTF-8 is replaced.

    Args:
        model: The model.
        tokens: The tokens.
    """
    import numpy as np

    return model.tokenizer.decode(np.array(tokens, np.int64)).decode(errors="replace")
