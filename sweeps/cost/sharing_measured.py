"""What sharing and packing save, measured: a sweep launched as it is, and as one process a run with nothing shared.

In turn, each in a store of its own and with nothing compiled before; then their records side by side, and what the
quote by the records' pace would have been.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Record, Store
from sweeps.cost.pace import pace, seconds_left
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan, run_id

SHARED, SEPARATE, COLD = "shared", "separate", "cold"


def measure(
    store: Store,
    sweep: str,
    configs: list[RunConfig],
    corpus: Corpus,
    words: Sequence[str],
    sharing: Sequence[str] = (),
    rounds: int = 1,
    cold: bool = False,
) -> dict[str, Any]:
    """Launches both ways `rounds` times in STORE/saving. words: of both launches; sharing: of the one that shares.

    cold: a third way too, where separate processes keep no compiled programs for each other, as scripts in a loop.
    What comes back has the seconds of each launch, their ratios to the shared one's, how the records differ, and
    quoted beside measured.
    """
    if rounds < 1:
        raise SweepError(f"--rounds {rounds}: must be 1 or more")
    ways = {SHARED: sharing, SEPARATE: ["--separate"]}
    ways |= {COLD: ["--separate", "--place", "compile_cache=false"]} if cold else {}
    seconds: dict[str, list[float]] = {how: [] for how in ways}
    quotes: list[dict[str, float]] = []
    differ: dict[str, Any] = {}
    known: Store | None = None  # whose pace the next launch is quoted by
    for i in range(rounds):
        stores = {how: own(store, f"{how}-{i}") for how in seconds}
        for how, where in stores.items():
            if known is not None and how == SHARED:
                quotes.append({"quoted": quoted(known, configs, corpus)})
            seconds[how].append(launched(where, sweep, [*words, *ways[how]]))
        known = stores[SHARED]
        if i == 0:
            quotes.append({"in_hindsight": quoted(known, configs, corpus)})
        quotes[-1]["measured"] = seconds[SHARED][-1]
        differ = differences(stores[SHARED], stores[SEPARATE], configs)
    ratios = {how: sum(seconds[how]) / sum(seconds[SHARED]) for how in ways if how != SHARED}
    return {"sweep": sweep, "seconds": seconds, "ratios": ratios, "records": differ, "quotes": quotes}


def own(store: Store, name: str) -> Store:
    """A new store with the token files of another; SweepError where it is there already."""
    folder = store.root / "saving" / name
    if folder.exists():
        raise SweepError(f"{folder} is there: what is done in it would not be measured: remove it, or another --store")
    folder.mkdir(parents=True)
    (folder / "tokens").symlink_to(store.token_files.absolute(), target_is_directory=True)
    return Store(folder)


def launched(store: Store, sweep: str, words: Sequence[str]) -> float:
    """Seconds of a launch, from its start to its end; SweepError where it fails."""
    command = [sys.executable, "-m", "sweeps", "launch", sweep, "--store", str(store.root), *words]
    cache = {"JAX_COMPILATION_CACHE_DIR": str((store.root / "compiled").absolute())}
    begun = time.monotonic()
    status = subprocess.run(command, env={**os.environ, **cache}, check=False).returncode
    if status:
        raise SweepError(f"{' '.join(command)} ended with exit status {status}: its own lines say why")
    return time.monotonic() - begun


def quoted(store: Store, configs: list[RunConfig], corpus: Corpus) -> float:
    """Wall-clock of the whole sweep at the pace of a store's runs, as `plan` says it."""
    by = pace(store)
    if by is None:
        raise SweepError(f"store {store.root} has no finished run to learn a pace from")
    return seconds_left(plan(configs, corpus), by)


def differences(a: Store, b: Store, configs: Sequence[RunConfig]) -> dict[str, Any]:
    """How many runs have the same figures and curve bit for bit, and by how much held-out losses differ at most."""
    same, most = 0, 0.0
    for config in configs:
        name = run_id(config)
        one, two = a.read(name), b.read(name)
        if one is None or two is None:
            raise SweepError(f"run {name[:12]} has no record in {(a if one is None else b).root}")
        same += facts(one) == facts(two) and a.curve(name) == b.curve(name)
        if "loss" in one.final and "loss" in two.final:
            most = max(most, abs(one.final["loss"] / two.final["loss"] - 1))
    return {"runs": len(configs), "same": same, "loss_apart": most}


def facts(record: Record) -> tuple[Any, ...]:
    """A record without where its numbers come from."""
    return record.status, record.params, record.flops, record.final, record.evals


def as_text(of: dict[str, Any]) -> str:
    """The measurement for a person."""
    seconds, records = of["seconds"], of["records"]

    def each(how: str) -> str:
        return ", ".join(f"{took:.1f} s" for took in seconds[how])

    said = {SEPARATE: "nothing shared but compiled programs", COLD: "nothing shared at all"}
    lines = [
        f"as launched: {each(SHARED)}",
        *(
            f"one process a run, {said[how]}: {each(how)}, {ratio:.2f} times as long"
            for how, ratio in of["ratios"].items()
        ),
        f"records: {records['same']} of {records['runs']} the same bit for bit"
        + (f", held-out losses up to {records['loss_apart']:.2%} apart" if records["loss_apart"] else ""),
    ]
    for quote in of["quotes"]:
        took = quote.get("quoted", quote.get("in_hindsight", 0.0))
        how = "quoted by the launch before" if "quoted" in quote else "quoted by its own records"
        lines.append(f"{how}: {took:.1f} s, measured {quote['measured']:.1f} s ({took / quote['measured'] - 1:+.0%})")
    return "\n".join(lines)
