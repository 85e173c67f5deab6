"""Checks of a sweep before its launch, without training anything."""

from __future__ import annotations

import math

from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.planning.plan import DAMAGED, Plan, epochs, plan_notes, step_shape


def check_sweep(plan: Plan, store: Store) -> list[str]:
    """Checks a sweep and returns a line for each check that passed.

    The configs check widths, heads and schedules; the plan checks that no run occurs twice.

    Args:
        plan: The sweep.
        store: The store with its token file, to which its runs will be written.

    Raises:
        SweepError: A check failed.
    """
    from scaling.data.examples import check_run  # imports NumPy: only where token files are read
    from scaling.data.tokens import CorpusError, find_tokens, open_tokens

    runs = plan.runs
    try:
        file = open_tokens(find_tokens(store.token_files, plan.corpus.tokens))
        for config in {(run.config.model.vocab, run.config.data): run.config for run in runs}.values():
            check_run(file, config)  # the same check as before training
    except CorpusError as error:
        raise SweepError(str(error)) from None
    store.check_writable()
    longest = max(runs, key=lambda run: run.D)
    shapes = len({step_shape(run.config) for run in runs})
    stored = sum(run.status not in (None, DAMAGED) for run in runs)
    return [
        f"token file {file.path}: intact, {len(file.train):,} training and {len(file.validation):,} validation tokens",
        f"{len(runs)} runs of {shapes} shapes: vocabulary and length fit the token file, no duplicate runs",
        f"longest run: {longest.D:,} tokens, {epochs(longest, plan):.2f} epochs",
        f"all batch sizes are divisible by {common_batch_divisor(plan)}",
        f"store {store.root}: writable, has {stored or 'none'} of these runs",
        *plan_notes(plan),
    ]


def common_batch_divisor(plan: Plan) -> int:
    """Returns the greatest common divisor of the batch sizes of all runs, including those of batch ramps."""
    return math.gcd(
        *(size for run in plan.runs for size in (run.config.batch, *(b for b, _ in run.config.schedule.batch_ramp)))
    )
