"""`python -m scaling generate RUN`: generates text from a trained run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from scaling.config.exit_status import DONE, INTERRUPTED

NO_TOKEN = -1  # ends no text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.options import add_options
    from scaling.config.user_code.blocks import add_code_argument
    from scaling.inference.options import Sampling

    parser.add_argument("run", metavar="RUN", help="run id, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument(
        "--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last step)"
    )
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
    parser.add_argument(
        "--steer", action="append", default=[], metavar="LATENT=VALUE",
        help="add VALUE times the latent's decoder direction to the activations; may be repeated; requires --sae",
    )  # fmt: skip
    parser.add_argument("--sae", metavar="RUN", help="run id of the sparse autoencoder that --steer is about")
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints each prompt with its continuation; Ctrl-C prints the text generated so far."""
    from scaling.config.options import read_options
    from scaling.config.user_code.blocks import use_code
    from scaling.evaluation.json_lines import read_text
    from scaling.inference.load import load_model
    from scaling.inference.options import Sampling
    from scaling.inference.texts import encode_prompt, generate_texts
    from scaling.store.open import open_store

    use_code(args.code)
    sampling = read_options(Sampling, args)
    texts = [*args.prompt, *(read_text(args.prompts).splitlines() if args.prompts else [])] or [""]
    store = open_store(args.store)
    model = load_model(store, args.run, args.step)
    if args.steer or args.sae:
        from scaling.inference.sae.steering import parse_steering, steered_model

        model = steered_model(model, store, args.sae, parse_steering(args.steer))
    longest, trained = max(len(encode_prompt(model, text)) for text in texts) + args.tokens, model.config.data.length
    if longest > trained:
        print(f"scaling generate: {longest} tokens exceed the training context of {trained}", file=sys.stderr)
    stop = NO_TOKEN if args.no_stop else args.stop
    status, started_at = DONE, time.monotonic()
    try:
        rows = generate_texts(
            model, texts, args.tokens, sampling, seed=args.seed, stop=stop, cache=not args.no_cache
        )  # fmt: skip
    except KeyboardInterrupt as interruption:
        if not interruption.args:
            raise
        rows, status = interruption.args[0], INTERRUPTED
    about = {"run_id": model.record.run_id, "step": model.step, "seed": args.seed}
    about |= {"sae": args.sae, "steer": args.steer} if args.sae else {}
    about["seconds"] = round(time.monotonic() - started_at, 3)
    print_texts([dataclasses.asdict(row) for row in rows], about, args.json)
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
