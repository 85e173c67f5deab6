"""Runs in turn, and those that another process is at: left to it, and looked after once nothing else is to be done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.distributed import collectives
from scaling.store.lease import Held, Lost, seconds
from scaling.store.record import Store

STOPPED, CRASHED = 75, -1
PAUSE = 5.0  # seconds before a run that crashed is tried again, times its crashes
LOOKS = 12  # at who holds a run, in the time in which a holder falls silent
Say = Callable[[dict[str, Any]], None]


def in_turn(
    configs: Sequence[RunConfig], store: Store, attempt: Callable[[RunConfig, str], int], say: Say, asked: list[int],
    *, trunks: bool, retries: int = 0,
) -> int:  # fmt: skip
    """Each run by `attempt`, which gives its exit status; the worst of them, 75 at once where it was stopped.

    `attempt` is told whether the run will be tried again should it crash ("attempt 1 of 3"; "" where not), and then
    gives CRASHED: it has another turn once the others have had theirs, `retries` times at most.

    A run that another process holds is done by that one, or by us once it has given it back or fallen silent. One
    that failed there meanwhile is not tried again here. trunks: two processes do not train one trunk at a time.
    """
    left, worst, waited, crashes = list(configs), 0, set[str](), dict[str, int]()
    while left:
        still = []
        for config in left:
            name = run_id(config)
            if asked and not collectives.many():
                return STOPPED
            if name in waited and (status := told(store, name, say)) is not None:
                worst = max(worst, status)
                continue
            try:
                with trunk(store, config) if trunks else contextlib.nullcontext():
                    again = crashes.get(name, 0)
                    status = attempt(config, f"attempt {again + 1} of {retries + 1}" if again < retries else "")
            except (Held, Lost) as by:
                still.append(config)
                if name not in waited:
                    say({"event": "waits", "run_id": name, "why": f"{by}: left to it"})
                    waited.add(name)
                continue
            if status == STOPPED:
                return STOPPED
            if status == CRASHED:
                crashes[name] = crashes.get(name, 0) + 1
                still.append(config)
            worst = max(worst, status)
        if len(still) == len(left):
            pause = max([seconds() / LOOKS, *(PAUSE * n for name, n in crashes.items() if name in map(run_id, still))])
            say({"event": "waiting", "run_id": run_id(left[0])})  # a launcher that is gone is noticed so
            if stopped_while_waiting(asked, pause):
                return STOPPED
        left = still
    return worst


@contextlib.contextmanager
def trunk(store: Store, config: RunConfig) -> Iterator[None]:
    """Holds the trunk that a run is on: who comes to its next run finds the checkpoint to start from."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(store.lease(f"trunk-{prefix_id(config, 0)}"))
        except Held as holder:
            raise Held(f"the trunk of run {run_id(config)[:12]} is being trained by {holder}") from None
        yield


def told(store: Store, name: str, say: Say) -> int | None:
    """Says that a run failed in the process that we left it to, and the status for it; None where it did not."""
    store.fetch_run(name)
    record = store.read(name)
    if record is None or record.status != "failed":
        return None
    say({"event": "end", "run_id": name, "status": "failed", "error": record.about.get("error", "it does not say why")})
    return 1


def stopped_while_waiting(asked: list[int], pause: float) -> bool:
    """Waits until it is time to look again; whether any host was asked to stop meanwhile."""
    until = time.monotonic() + pause
    while time.monotonic() < until and not asked:
        time.sleep(0.1)
    return any(collectives.gather(bool(asked)))
