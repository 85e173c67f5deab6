"""What can be checked of a sweep for nothing, before it is launched."""

from __future__ import annotations

import math

from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.planning.plan import Plan, epochs, notes, shape


def check(of: Plan, store: Store) -> list[str]:
    """What was found in order, a line each; SweepError at the first thing that is not.

    Widths, heads and schedules have been checked by the configs themselves, runs planned twice by the plan.
    """
    from scaling.data.examples import check as check_fit
    from scaling.data.tokens import DataError, find_tokens, open_tokens

    try:
        file = open_tokens(find_tokens(store.token_files, of.corpus.tokens))
        for config in {(run.config.model.vocab, run.config.data): run.config for run in of.runs}.values():
            check_fit(file, config)  # as the trainer will
    except DataError as error:
        raise SweepError(str(error)) from None
    store.check_writable()
    longest = max(of.runs, key=lambda run: run.D)
    shapes = len({shape(run.config) for run in of.runs})
    known = sum(run.status is not None for run in of.runs)
    return [
        f"token file {file.path}: whole, {len(file.train):,} training and {len(file.validation):,} validation tokens",
        f"{len(of.runs)} runs of {shapes} shapes: vocabulary and length fit the token file, no run twice",
        f"longest run: {longest.D:,} tokens, {epochs(longest, of):.2f} epochs",
        f"every batch divides over {divisor(of)} devices, and over what divides that",
        f"store {store.root}: can be written, has {known or 'none'} of these runs",
        *notes(of),
    ]


def divisor(of: Plan) -> int:
    """The most devices that every batch of every run can be split over evenly, the smaller first ones of a ramp too."""
    return math.gcd(
        *(size for run in of.runs for size in (run.config.batch, *(b for b, _ in run.config.schedule.batch_ramp)))
    )
