"""Evaluation of a sweep's models on its tasks: arguments for the trainers, and evaluation of missing results."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from scaling.config import exit_status
from scaling.store import items
from scaling.store.record import Store
from sweeps.definitions import Tasks
from sweeps.engines.submission import code_flags

EVALUATE = (sys.executable, "-m", "scaling", "evaluate")


def evaluate_arguments(tasks: Tasks) -> tuple[str, ...]:
    """Returns the arguments of `scaling train` and `scaling evaluate` that name the tasks."""
    shots = ("--shots", ",".join(map(str, tasks.shots))) if tasks.shots else ()
    return ("--tasks", ",".join(tasks.names), *shots, "--items", str(tasks.items))


def unevaluated_runs(store: Store, run_ids: Sequence[str], tasks: Tasks) -> list[str]:
    """Returns the runs that are done but lack results of a task at their last step.

    Args:
        store: The store with the runs.
        run_ids: The runs.
        tasks: Tasks of each run.
    """
    from scaling.data.tasks.family import stored_task_name  # here, so that --help does not import NumPy

    required = {
        (items.safe_name(stored_task_name(name)), shots) for name in tasks.names for shots in tasks.shots or (None,)
    }
    missing = []
    for name in run_ids:
        record = store.read_intact(name)
        if record is None or record.status != "done":
            continue
        files = [file for file in items.item_files(store.items_dir(name)) if file.step == record.config.steps]
        evaluated = {(file.task, file.shots) for file in files} | {(file.task, None) for file in files}
        if not required <= evaluated:
            missing.append(name)
    return missing


def evaluate_missing(store: Store, run_ids: Sequence[str], tasks: Tasks, code: Sequence[str] = ()) -> int:
    """Evaluates the runs that lack results in a child process; returns exit status DONE or FAILED.

    Args:
        store: The store with the runs.
        run_ids: The runs.
        tasks: Tasks of each run.
        code: Code of the user that the runs use, as in Submission.
    """
    missing = unevaluated_runs(store, run_ids, tasks)
    if not missing:
        return exit_status.DONE
    print(f"evaluating {len(missing)} runs on their tasks", file=sys.stderr)
    command = [*EVALUATE, *missing, "--store", store.address, *evaluate_arguments(tasks), "--missing", "--json",
               *code_flags(code, store.root)]  # fmt: skip
    process = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if process.returncode < 0:
        print(f"`evaluate` was killed by {signal.Signals(-process.returncode).name}: launch again", file=sys.stderr)
    return exit_status.FAILED if process.returncode else exit_status.DONE
