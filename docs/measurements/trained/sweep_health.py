"""Health of a sweep: at which step planted faults are named, and how often runs without a fault are."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.data.windows import WindowOrder
from scaling.store.curves.collapse import Trajectory, collapse_spread, irreducible_loss, normalised
from scaling.store.curves.deviations import across_sizes
from scaling.store.curves.health import RunState, sweep_health, trajectory_of_rows
from scaling.store.record import Record, Store
from scaling.store.score_intervals import wilson_interval

RUNS = ((32, 1096), (48, 570), (64, 696))  # width and steps of the runs of the sweep that faults are planted in
PART = 0.6  # share of the steps that planted runs are trained for
RESTART = 0.2  # share of the steps after which a stale order begins again
BLOCK = 16


def _schedule(**fields: object) -> Callable[[RunConfig], RunConfig]:
    return lambda config: dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **fields))


FAULTS: dict[str, tuple[str, Callable[[RunConfig], RunConfig]]] = {  # folder: what it is, and the planted config
    "lr4": (
        "learning rate × 4",
        lambda c: dataclasses.replace(c, optimizer=dataclasses.replace(c.optimizer, lr=4 * c.optimizer.lr)),
    ),
    "stale": ("stale data order: the batches begin again after a fifth of the steps", lambda c: c),
    "warm": (
        "wrong schedule: warm-up of half of the steps",
        lambda c: _schedule(warmup=c.steps // 2)(c),
    ),
    "cosine": ("wrong schedule: cosine", _schedule(name="cosine", decay_shape="linear")),
    "linear": ("wrong schedule: linear", _schedule(name="linear", decay_shape="linear")),
    "early": ("wrong schedule: decay from a fifth of the steps", _schedule(decay=0.8)),
    "rounding": (
        "none: learning rate × (1 + 1e-6), as another device rounds",
        lambda c: dataclasses.replace(c, optimizer=dataclasses.replace(c.optimizer, lr=c.optimizer.lr * (1 + 1e-6))),
    ),
}


def measure(session: Session) -> Results:
    """Trains the demo's sweep and runs with planted faults, and compares the curves as `sweeps status` does."""
    session.train("sweeps", "launch", "quickstart", "--store", "STORE")
    store = Store(session.store)
    records = [record for record in store.records() if record.status == "done"]
    session.figure("collapse")
    states = [_state(record) for record in records]
    read = [trajectory_of_rows(store.curve(state.run_id), state) for state in states]
    curves = [curve for curve in read if curve is not None]
    assert len(curves) == len(states)
    healthy = sweep_health(curves, states)
    rows, began, clock = [], datetime.now(UTC), time.monotonic()
    for width, steps in RUNS:
        twin = next(r for r in records if (r.config.model.width, r.config.steps) == (width, steps))
        for fault in FAULTS:
            planted = train_planted(session, store, twin.config, fault)
            others = [(s, c) for s, c in zip(states, curves, strict=True) if s.run_id != twin.run_id]
            rows.append([FAULTS[fault][0], width, *_named(planted, others)])
    session.log("python -m docs.measurements sweep-health", began, time.monotonic() - clock)  # the planted runs
    rows.sort(key=lambda row: [text for text, _ in FAULTS.values()].index(row[0]))
    alarms = len(healthy.departures)
    low, high = wilson_interval(alarms, len(curves))
    columns = [Column("fault"), Column("width"), Column("steps of the run", ","), Column("named at step", ","),
               Column("share of the steps", ".0%"), Column("because")]  # fmt: skip
    values = {
        "runs": Value(len(curves)),
        "alarms": Value(alarms),
        "rate": Value([alarms / len(curves), low, high], ".1%"),
    }
    published = _published(session.data / "supercollapse2025")
    return Results({"main": Table(columns, rows), "published": published}, values)


def _state(record: Record) -> RunState:
    return RunState(record.run_id, record.config, float(record.params["total"]), record.status)


def train_planted(session: Session, store: Store, twin: RunConfig, fault: str) -> tuple[RunState, Trajectory]:
    """Trains PART of a run with a fault in a store of its own, unless it is there; returns its state and curve."""
    folder = session.store.with_name(session.store.name + ".planted") / f"{fault}-{twin.model.width}-{twin.steps}"
    (folder / "tokens").parent.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokens").exists():
        (folder / "tokens").symlink_to(store.token_files.resolve())
    config, own = FAULTS[fault][1](twin), Store(folder)
    if (row := own.last_row(run_id(config))) is None or row["step"] < PART * config.steps:
        windows = WindowOrder.windows
        start = round(RESTART * config.steps) * config.batch
        if fault == "stale":
            WindowOrder.windows = lambda order, r: windows(order, np.where(r >= start, r - start, r))  # type: ignore[method-assign]
        try:
            _train(config, own)
        finally:
            WindowOrder.windows = windows  # type: ignore[method-assign]
    record = own.read(run_id(config))
    assert record is not None
    state = _state(record)
    rows = [row for row in own.curve(record.run_id) if row["step"] <= PART * config.steps]
    curve = trajectory_of_rows(rows, state)
    assert curve is not None
    return state, curve


def _train(config: RunConfig, store: Store) -> None:
    from scaling.training.loop import train  # here: it imports JAX

    def is_past() -> bool:
        row = store.last_row(run_id(config))
        return row is not None and row["step"] >= PART * config.steps

    train(config, store, Placement(data=1, save_seconds=1e9, block=BLOCK), sweep=None, emit=lambda _: None,
          should_stop=is_past)  # fmt: skip


def _named(
    planted: tuple[RunState, Trajectory], others: list[tuple[RunState, Trajectory]]
) -> tuple[int, int | None, float | None, str]:
    """Steps of a planted run, and step, share and reason with which it is named among the others."""
    state, curve = planted
    states, curves = [state, *(s for s, _ in others)], [curve, *(c for _, c in others)]
    departure = sweep_health(curves, states).departures.get(state.run_id)
    if departure is None:
        return curve.steps, None, None, f"not named within {PART:.0%} of the steps"
    return curve.steps, departure.step, departure.share, departure.reason


def _published(folder: Path) -> Table:
    """The published curves of Qiu 2025: irreducible loss, spread at half of the compute, and runs out of the band."""
    ends = pd.read_csv(folder / "ends.csv").drop_duplicates(["set", "params", "seed"])
    curves = pd.read_csv(folder / "curves.csv").drop_duplicates(["set", "params", "seed", "step"])
    rows = []
    for name in ("chess", "chess_const"):
        runs, losses = [], ends[ends["set"] == name]
        means = losses.groupby("params")[["C_end", "L_end"]].mean()
        level = irreducible_loss(means["L_end"].to_numpy(), means["C_end"].to_numpy())
        noise = float((losses.groupby("params")["L_end"].std() / (means["L_end"] - level)).mean())
        half = []
        for end in losses.itertuples():
            points = curves[(curves["set"] == name) & (curves["params"] == end.params) & (curves["seed"] == end.seed)]
            points = points[points["compute"] <= 1.0001 * end.C_end].sort_values("step")
            share, step = (points["compute"] / end.C_end).to_numpy(), points["step"].to_numpy()
            runs.append(Trajectory(str(end), end.params, end.C_end / end.params, round(step[-1] / share[-1]), step,
                                   share, points["test_loss"].to_numpy()))  # fmt: skip
            half.append(normalised(np.interp([0.5], share, points["test_loss"]), end.L_end, level))
        left = sum((found := across_sizes(run, runs)) is not None and found.first_bin is not None for run in runs)
        rows.append([name, len(runs), level, float(collapse_spread(np.array(half))[0]), noise, left])
    columns = [
        Column("set"),
        Column("runs"),
        Column("irreducible loss, nats", ".4f"),
        Column("spread of normalised curves at half of the compute", ".4f"),
        Column("noise of seeds, relative to the reducible loss", ".4f"),
        Column("runs that leave the band"),
    ]
    return Table(columns, rows)
