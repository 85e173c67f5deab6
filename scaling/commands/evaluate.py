"""`python -m scaling evaluate RUN`: evaluates trained runs and stores the result of each item next to the record."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from scaling.commands import harness
from scaling.config.exit_status import DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaling.evaluate.config import EvaluationOptions
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.options import add_options
    from scaling.evaluate.config import EvaluationOptions

    parser.add_argument("runs", nargs="+", metavar="RUN", help="run ids, or their first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the runs")
    add_options(parser, EvaluationOptions, leave_out=("steps",))
    harness.add_arguments(parser)
    parser.add_argument(
        "--step", type=int, metavar="N", help="evaluate the checkpoint after N steps (default: the newest)"
    )
    parser.add_argument("--missing", action="store_true", help="skip tasks that have stored results for this step")
    parser.add_argument("--json", action="store_true", help="print one JSON line per run")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Adds the evaluation options of `train`."""
    from scaling.config.options import add_options
    from scaling.evaluate.config import EvaluationOptions

    add_options(parser, EvaluationOptions, leave_out=("tokens",))


def evaluation_options(args: argparse.Namespace) -> EvaluationOptions:
    """Builds the evaluation options from parsed arguments; --tokens adds the task perplexity.

    Raises:
        ConfigError: An option is out of range.
    """
    from scaling.config.options import read_options
    from scaling.evaluate.config import EvaluationOptions

    tasks = [args.tasks, "perplexity"] if getattr(args, "tokens", None) is not None else [args.tasks]
    args.tasks = ",".join(filter(None, tasks))
    return read_options(EvaluationOptions, args)


def training_evaluation(args: argparse.Namespace, one_host: bool) -> EvaluationOptions | None:
    """Returns the evaluation options of `train`, None without --tasks.

    Args:
        args: Parsed arguments.
        one_host: Whether the run is on one host.

    Raises:
        ConfigError: An option is out of range, or there are several hosts.
    """
    from scaling.config.validation import require

    if not args.tasks:
        require(not args.steps, f"--task-steps {args.steps}: requires --tasks")
        return None
    require(one_host, "--tasks: not supported on several hosts: run `python -m scaling evaluate` afterwards")
    return evaluation_options(args)


def run(args: argparse.Namespace) -> int:
    """Evaluates each run and prints its scores; returns FAILED if a task had an error."""
    from scaling.evaluate.run import evaluate_run, print_warnings
    from scaling.inference.load import load_model
    from scaling.store.open import open_store

    harness_options = harness.harness_options(args)
    wants_tasks = args.tasks or args.tokens or harness_options is None
    options = evaluation_options(args) if wants_tasks else None
    store, status = open_store(args.store), DONE
    for name in args.runs:
        model = load_model(store, name, step=args.step)
        scores, errors = evaluate_run(model, store, options, only_missing=args.missing) if options else ({}, [])
        if harness_options is not None:
            harness_scores, harness_errors = harness.evaluate_with_harness(model, store, harness_options)
            scores, errors = scores | harness_scores, errors + harness_errors
        print_warnings(errors)
        status = FAILED if errors else status
        result = {"run_id": model.record.run_id, "step": model.step, "scores": scores, "wrong": errors}
        print_scores(result, args.json)
    return status


def print_scores(result: dict[str, Any], as_json: bool) -> None:
    """Prints the scores of one run as a table or as a JSON line.

    Args:
        result: Run id, step, scores and errors.
        as_json: Whether to print JSON.
    """
    if as_json:
        print(json.dumps(result))
        return
    print(f"run {result['run_id'][:12]}, step {result['step']:,}")
    width = max(map(len, result["scores"]), default=0)
    for name, value in result["scores"].items():
        print(f"  {name:<{width}}  {value:.4g}")


def after_training(options: EvaluationOptions, store: Store, runs: Iterable[str]) -> int:
    """Evaluates those of the runs that are done and lack a result; prints errors.

    Args:
        options: The tasks, and how to evaluate them.
        store: The store that has the runs.
        runs: Run ids.

    Returns:
        DONE, or FAILED where a task had an error.
    """
    from scaling.config.validation import ConfigError
    from scaling.data.tokens import CorpusError
    from scaling.evaluate.run import evaluate_run, has_missing, print_warnings
    from scaling.inference.load import load_model
    from scaling.store.files import StoreError

    status = DONE
    for name in runs:
        record = store.read(name)
        if record is None or record.status != "done" or not has_missing(store, name, record.config.steps, options):
            continue
        try:
            model = load_model(store, name, step=record.config.steps)
            _, errors = evaluate_run(model, store, options, only_missing=True)
        except (ConfigError, CorpusError, StoreError) as error:  # the run is done, and other runs are to be evaluated
            errors = [str(error)]
        print_warnings([f"run {name[:12]}: {line}" for line in errors])
        status = FAILED if errors else status
    return status
