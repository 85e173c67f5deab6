"""Evaluation of many runs: which ones, one after the other, with the time that is left."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling.commands.evaluation import harness
from scaling.config.exit_status import BAD_INPUT, DONE, FAILED
from scaling.config.validation import one_line, require
from scaling.store.damaged import has_damaged_record, print_damaged
from scaling.store.score_intervals import LEVEL

if TYPE_CHECKING:
    from scaling.evaluation.config import EvaluationOptions
    from scaling.evaluation.harness.config import HarnessOptions
    from scaling.evaluation.run import Evaluation
    from scaling.store.record import Store

SECONDS_SHOWN = 120  # of time left; longer ones are shown in minutes


@dataclass(frozen=True)
class EvaluationJob:
    """What is evaluated on each run.

    Attributes:
        store: The store that has the runs.
        options: The tasks, None where there are none.
        benchmarks: The benchmarks of the lm-evaluation-harness, None where there are none.
        step: Step of the checkpoint; None for the last step of each run.
        only_missing: Skip what has stored results for this step.
        as_json: Print JSON lines.
        bad_tasks: Messages of the tasks and benchmarks that cannot be evaluated on any run.
    """

    store: Store
    options: EvaluationOptions | None
    benchmarks: HarnessOptions | None
    step: int | None
    only_missing: bool
    as_json: bool
    bad_tasks: tuple[str, ...] = ()


def select_runs(store: Store, names: Sequence[str], sweep: str | None, all_runs: bool) -> list[str]:
    """Returns the ids of the runs to evaluate, and says which runs of a sweep are left out.

    Args:
        store: The store.
        names: Run ids, or their first characters.
        sweep: Name of a sweep, whose finished runs are meant.
        all_runs: Whether every finished run of the store is meant.

    Raises:
        ConfigError: Not one of the three is given, the sweep is unknown, or none of its runs is done.
        StoreError: No run id, or more than one, starts with a name.
    """
    choices = [bool(names), sweep is not None, all_runs]
    require(sum(choices) == 1, "name the runs, or give --sweep NAME or --all-runs: one of the three")
    if names:
        return list(dict.fromkeys(store.find_run(name) for name in names))
    records = {record.run_id: record for record in store.records()}
    sweeps = store.sweeps()
    planned = [str(run["run_id"]) for run in sweeps.get(sweep or "", [])]
    members = {*planned, *(name for name, record in records.items() if sweep in (None, record.sweep))}
    known = sorted({*sweeps, *(record.sweep for record in records.values() if record.sweep)})
    print_damaged(store)
    require(
        bool(members), f"--sweep {sweep}: no such sweep in store {store.root}: it has {', '.join(known) or 'none'}"
        if sweep else f"--all-runs: store {store.root} has no runs",
    )  # fmt: skip
    unread = {name: "damaged" if has_damaged_record(store, name) else "not started" for name in members}
    statuses = unread | {name: records[name].status for name in members if name in records}
    done = sorted(name for name, status in statuses.items() if status == "done")
    others = [status for status in statuses.values() if status != "done"]
    listed = ", ".join(f"{others.count(status)} {status}" for status in sorted(set(others)))
    require(bool(done), f"{f'--sweep {sweep}' if sweep else '--all-runs'}: none of the runs is done: {listed}")
    if others:
        print(f"scaling evaluate: {len(done)} of {len(members)} runs are done; left out: {listed}", file=sys.stderr)
    return done


def evaluate_runs(job: EvaluationJob, runs: Sequence[str]) -> int:
    """Evaluates the runs in turn and prints their scores; an error in one does not stop the others.

    Args:
        job: What is evaluated.
        runs: Run ids.

    Returns:
        DONE, BAD_INPUT where every error was one of the input, else FAILED.
    """
    from scaling.config.placement import Placement
    from scaling.evaluation.run import INPUT_ERRORS
    from scaling.program import compile_cache

    compile_cache.configure_cache(Placement())  # runs of one shape, and later commands, compile once
    due = [name for name in runs if not job.only_missing or has_missing(job, name)]
    if len(due) < len(runs):
        print(
            f"scaling evaluate: {len(runs) - len(due)} of {len(runs)} runs have these scores already", file=sys.stderr
        )
    statuses = set()
    show_progress = progress_printer(len(due))
    for name in due:
        try:
            statuses.add(evaluate_one(job, name))
        except INPUT_ERRORS as error:
            print(f"scaling evaluate: {error}", file=sys.stderr)
            statuses.add(BAD_INPUT)
        except Exception as error:  # such as too little memory; the other runs are evaluated all the same
            if len(due) == 1:
                raise
            print(f"scaling evaluate: run {name[:12]}: {type(error).__name__}: {one_line(error)}", file=sys.stderr)
            statuses.add(FAILED)
        show_progress()
    return FAILED if FAILED in statuses else max(statuses, default=DONE)


def has_missing(job: EvaluationJob, name: str) -> bool:
    """Whether a run lacks stored results of a task or a benchmark.

    Args:
        job: What is evaluated.
        name: Run id.
    """
    from scaling.evaluation import run

    record = job.store.read_intact(name)
    if record is None:
        return True
    step = record.config.steps if job.step is None else job.step
    lacks_task = job.options is not None and run.has_missing(job.store, name, step, job.options)
    benchmarks = harness.missing_benchmarks(job.store, name, step, job.benchmarks) if job.benchmarks else ()
    return lacks_task or bool(benchmarks)


def evaluate_one(job: EvaluationJob, name: str) -> int:
    """Evaluates one run and prints its scores; returns the exit status.

    Args:
        job: What is evaluated.
        name: Run id.
    """
    from scaling.evaluation.run import Evaluation, evaluate_run, print_warnings
    from scaling.inference.load import load_model

    model = load_model(job.store, name, step=job.step)
    result = Evaluation()
    if job.options is not None:
        result.merge(evaluate_run(model, job.store, job.options, only_missing=job.only_missing))
    if job.benchmarks is not None:
        names = job.benchmarks.benchmarks
        if job.only_missing:
            names = harness.missing_benchmarks(job.store, model.record.run_id, model.step, job.benchmarks)
        if names:
            benchmarks = dataclasses.replace(job.benchmarks, benchmarks=names)
            result.merge(harness.evaluate_with_harness(model, job.store, benchmarks))
    print_warnings([*result.notes, *result.errors])
    if job.as_json:
        errors = [*job.bad_tasks, *result.errors]
        print(json.dumps({**describe(model.record.run_id, model.step, result), "wrong": errors}), flush=True)
    elif result.scores:
        print(f"run {model.record.run_id[:12]}, step {model.step:,}")
        print_scores(result)
    return DONE if not result.errors else BAD_INPUT if result.bad_input else FAILED


def describe(run: str, step: int, result: Evaluation) -> dict[str, Any]:
    """Returns what `--json` prints for a run, without errors.

    Args:
        run: Run id.
        step: Training steps of the model.
        result: Its scores.
    """
    scores = {f"{label}/{name}": score for label, scores in result.scores.items() for name, score in scores.items()}
    return {
        "run_id": run, "step": step, "scores": {name: score.value for name, score in scores.items()},
        "n": {name: score.count for name, score in scores.items()},
        "intervals": {name: list(score.interval) for name, score in scores.items() if score.interval is not None},
        "level": LEVEL, "notes": result.notes,
    }  # fmt: skip


def print_scores(result: Evaluation) -> None:
    """Prints the scores as a table: value, 95% interval over items, number of items."""
    lines = [("score", "value", f"{LEVEL:.0%} interval", "n")]
    for label, scores in result.scores.items():
        for name, score in scores.items():
            interval = "" if score.interval is None else f"[{score.interval[0]:.4g}, {score.interval[1]:.4g}]"
            lines.append((f"{label}/{name}", f"{score.value:.4g}", interval, f"{score.count:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    sys.stdout.flush()


def progress_printer(total: int) -> Callable[[], None]:
    """Returns a function that, called after each run, prints how many are evaluated and the time that is left.

    Args:
        total: Number of runs; nothing is printed for one.
    """
    started_at, done = time.monotonic(), 0

    def show() -> None:
        nonlocal done
        done += 1
        seconds = (time.monotonic() - started_at) / done * (total - done)
        left = f"{seconds / 60:.0f} min" if seconds >= SECONDS_SHOWN else f"{seconds:.0f} s"
        if total > 1:
            print(f"scaling evaluate: {done} of {total} runs evaluated, about {left} left", file=sys.stderr)

    return show
