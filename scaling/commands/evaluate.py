"""`python -m scaling evaluate RUN`: evaluates trained runs and stores the result of each item next to the record."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from scaling.commands.evaluation import harness
from scaling.config.exit_status import BAD_INPUT, DONE, FAILED
from scaling.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaling.evaluation.config import EvaluationOptions
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.options import add_options
    from scaling.config.user_code.blocks import add_code_argument
    from scaling.evaluation.config import EvaluationOptions

    parser.add_argument("runs", nargs="*", metavar="RUN", help="run ids, or their first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the runs")
    parser.add_argument(
        "--sweep", metavar="NAME", help="evaluate the finished runs of a sweep; skips what has stored results"
    )
    parser.add_argument(
        "--all-runs", action="store_true", help="evaluate all finished runs of the store; skips what has stored results"
    )
    parser.add_argument("--redo", action="store_true", help="with --sweep or --all-runs: evaluate stored results again")
    add_options(parser, EvaluationOptions, leave_out=("steps",))
    harness.add_arguments(parser)
    parser.add_argument(
        "--step", type=int, metavar="N", help="evaluate the checkpoint after N steps (default: the last step)"
    )
    parser.add_argument("--missing", action="store_true", help="skip tasks that have stored results for this step")
    add_code_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON line per run")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Adds the evaluation options of `train`."""
    from scaling.config.options import add_options
    from scaling.evaluation.config import EvaluationOptions

    add_options(parser, EvaluationOptions, leave_out=("tokens",))


def evaluation_options(args: argparse.Namespace) -> EvaluationOptions:
    """Builds the evaluation options from parsed arguments; --tokens adds the task perplexity.

    Raises:
        ConfigError: An option is out of range.
    """
    from scaling.config.options import read_options
    from scaling.evaluation.config import EvaluationOptions

    tasks = [args.tasks, "perplexity"] if getattr(args, "tokens", None) is not None else [args.tasks]
    args.tasks = ",".join(filter(None, tasks))
    return read_options(EvaluationOptions, args)


def training_evaluation(args: argparse.Namespace, one_host: bool) -> EvaluationOptions | None:
    """Returns the evaluation options of `train`, None without --tasks.

    Args:
        args: Parsed arguments.
        one_host: Whether the run is on one host.

    Raises:
        ConfigError: An option is out of range, a task cannot be evaluated on any model, or there are several hosts.
    """
    from scaling.config.validation import ConfigError, require
    from scaling.evaluation.prompts import bad_tasks

    if not args.tasks:
        require(not args.steps, f"--task-steps {args.steps}: requires --tasks")
        return None
    require(one_host, "--tasks: not supported on several hosts: run `python -m scaling evaluate` afterwards")
    options = evaluation_options(args)
    for message in bad_tasks(options).values():
        raise ConfigError(message)
    return options


def run(args: argparse.Namespace) -> int:
    """Evaluates each run and prints its scores.

    Returns:
        DONE; BAD_INPUT or FAILED where a task or a run had an error. The others are evaluated all the same.

    Raises:
        ConfigError: An option is out of range, or no run is selected.
    """
    from scaling.commands.evaluation.runs import EvaluationJob, evaluate_runs, select_runs
    from scaling.config.user_code.blocks import use_code
    from scaling.evaluation.prompts import bad_tasks
    from scaling.evaluation.run import print_warnings

    use_code(args.code)
    benchmarks = harness.harness_options(args)
    wants_tasks = args.tasks or args.tokens or benchmarks is None
    options = evaluation_options(args) if wants_tasks else None
    store = open_store(args.store)
    store.check_writable()
    store.fetch_results()
    runs = select_runs(store, args.runs, args.sweep, args.all_runs)
    messages: list[str] = []
    if options is not None:
        bad = bad_tasks(options)
        messages += bad.values()
        tasks = tuple(name for name in options.tasks if name not in bad)
        options = dataclasses.replace(options, tasks=tasks) if tasks else None
    if benchmarks is not None:
        bad = harness.bad_benchmarks(benchmarks)
        messages += bad.values()
        names = tuple(name for name in benchmarks.benchmarks if name not in bad)
        benchmarks = dataclasses.replace(benchmarks, benchmarks=names) if names else None
    print_warnings(messages)
    if options is None and benchmarks is None:
        return BAD_INPUT
    only_missing = args.missing or not (args.runs or args.redo)
    job = EvaluationJob(store, options, benchmarks, args.step, only_missing, args.json, tuple(messages))
    return evaluate_runs(job, runs) or (BAD_INPUT if messages else DONE)


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
    from scaling.evaluation.run import Evaluation, evaluate_run, has_missing, print_warnings
    from scaling.inference.load import load_model
    from scaling.store.files import StoreError

    status = DONE
    for name in runs:
        record = store.read_intact(name)
        if record is None or record.status != "done" or not has_missing(store, name, record.config.steps, options):
            continue
        try:
            model = load_model(store, name, step=record.config.steps)
            result = evaluate_run(model, store, options, only_missing=True)
        except (ConfigError, CorpusError, StoreError) as error:  # the run is done, and other runs are to be evaluated
            result = Evaluation(errors=[str(error)])
        print_warnings([f"run {name[:12]}: {line}" for line in [*result.notes, *result.errors]])
        status = FAILED if result.errors else status
    return status
