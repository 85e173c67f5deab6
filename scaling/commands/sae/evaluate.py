"""`python -m scaling sae evaluate RUN`: scores sparse autoencoders on held-out text of the models that they read."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from scaling.config.exit_status import BAD_INPUT, DONE

if TYPE_CHECKING:
    from scaling.evaluation.sae.run import SaeEvaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.user_code.blocks import add_code_argument

    parser.add_argument("runs", nargs="+", metavar="RUN", help="run ids of autoencoders, or their first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the runs and their model")
    parser.add_argument("--tokens", type=int, metavar="N", help="held-out tokens (default 32768)")
    parser.add_argument(
        "--step", type=int, metavar="N", help="evaluate the checkpoint after N steps (default: the last step)"
    )
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line per run")


def run(args: argparse.Namespace) -> int:
    """Evaluates each run and prints its scores; an error in one does not stop the others."""
    from scaling.config.placement import Placement
    from scaling.config.user_code.blocks import use_code
    from scaling.config.validation import require
    from scaling.evaluation.run import INPUT_ERRORS
    from scaling.evaluation.sae.run import evaluate_sae
    from scaling.evaluation.sae.text import TOKENS, load_subject
    from scaling.inference.sae.load import load_sae
    from scaling.program import compile_cache
    from scaling.store.open import open_store

    tokens = TOKENS if args.tokens is None else args.tokens
    require(tokens > 0, f"--tokens {tokens}: must be 1 or more")
    use_code(args.code)
    store = open_store(args.store)
    store.check_writable()
    compile_cache.configure_cache(Placement())
    status, model = DONE, None
    for name in dict.fromkeys(args.runs):
        try:
            subject = load_subject(store, load_sae(store, name, args.step), model)
            model = subject.model
            result = evaluate_sae(subject, store, tokens)
        except INPUT_ERRORS as error:
            print(f"scaling sae evaluate: {error}", file=sys.stderr)
            status = BAD_INPUT
            continue
        print_evaluation(result, args.json)
    return status


def print_evaluation(result: SaeEvaluation, as_json: bool) -> None:
    """Prints scores and densities as tables, or as one line of JSON.

    Args:
        result: The result.
        as_json: Whether to print JSON.
    """
    from scaling.commands.evaluation.runs import print_scores
    from scaling.evaluation.run import Evaluation

    if as_json:
        print(json.dumps(describe(result)), flush=True)
        return
    if result.note:
        print(f"scaling sae evaluate: {result.note}", file=sys.stderr)
    print(f"run {result.run[:12]}, step {result.step:,}, {result.tokens:,} held-out tokens")
    print_scores(Evaluation(scores={"sae": result.scores}))
    print("\ndensity (share of tokens)  latents")
    for row in result.histogram:
        print(f"{10 ** row['low']:>9.2g} to {10 ** row['high']:<9.2g}     {row['latents']:>7,}")


def describe(result: SaeEvaluation) -> dict[str, Any]:
    """Returns what `--json` prints.

    Args:
        result: The result.
    """
    from scaling.commands.evaluation import runs
    from scaling.evaluation.run import Evaluation

    scores = Evaluation(scores={"sae": result.scores}, notes=[result.note] if result.note else [])
    described = runs.describe(result.run, result.step, scores)
    return described | {"tokens": result.tokens, "density_histogram": result.histogram}
