"""What the models of a sweep are asked: by whoever trains them, and afterwards what was left out."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from scaling.store import items
from scaling.store.record import Store
from sweeps.definitions import Tasks

EVALUATE = (sys.executable, "-m", "scaling", "evaluate")


def asked(tasks: Tasks) -> tuple[str, ...]:
    """The arguments that say so to `scaling train` and `scaling evaluate`."""
    shots = ("--shots", ",".join(map(str, tasks.shots))) if tasks.shots else ()
    return ("--tasks", ",".join(tasks.names), *shots, "--items", str(tasks.items))


def unasked(store: Store, runs: Sequence[str], tasks: Tasks) -> list[str]:
    """The done runs of which something is not kept."""
    wanted = {(items.file_name(name), shots) for name in tasks.names for shots in tasks.shots or (None,)}
    out = []
    for name in runs:
        record = store.read(name)
        if record is None or record.status != "done":
            continue
        there = [one for one in items.scored(store.items_dir(name)) if one.step == record.config.steps]
        kept = {(one.task, one.shots) for one in there} | {(one.task, None) for one in there}
        if not wanted <= kept:
            out.append(name)
    return out


def rest(store: Store, runs: Sequence[str], tasks: Tasks) -> int:
    """Asks the done runs what is not kept of them, in a process of its own; 0, or 1 where something went wrong."""
    left = unasked(store, runs, tasks)
    if not left:
        return 0
    print(f"asking {len(left)} runs their tasks", file=sys.stderr)
    command = [*EVALUATE, *left, "--store", store.address, *asked(tasks), "--missing", "--json"]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if ended.returncode < 0:
        print(f"`evaluate` was killed by {signal.Signals(-ended.returncode).name}: launch again", file=sys.stderr)
    return int(ended.returncode != 0)
