"""Sealed forecasts: losses of runs with 30 times the FLOPs, forecast before the runs were trained."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from scaling.store.record import Record, Store

TEXT, CHAIN = "cpython", "markov:order=1,vocab=256,tokens=20000000,seed=0"
TITLES = {TEXT: "Python's standard library", CHAIN: "Markov chain"}
LARGE = ("quickstart", "--target", "5e13")
SMALL = ("ladder", "--times", "30", "--workers", "1")
SMALL_SETTINGS = ("--set", "rules=small", "widths=16,24,32,40", "ratios=4,8,16", "length=128")


@dataclass(frozen=True)
class Arm:
    """A ladder and its forecast.

    Attributes:
        store: Name of its store.
        corpus: Its corpus.
        seed: Seed of all of its runs.
        is_large: Whether the ladder is that of the quickstart.
    """

    store: str
    corpus: str
    seed: int
    is_large: bool

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of `sweeps forecast`."""
        seed_and_corpus = ("--seed", str(self.seed), "--corpus", self.corpus)
        name, settings = (LARGE, ()) if self.is_large else (SMALL, SMALL_SETTINGS)
        return (name[0], "--store", f"STORE/{self.store}", *name[1:], *seed_and_corpus, *settings)


ARMS = (
    Arm("cpython-0", TEXT, 0, is_large=True),
    Arm("small-cpython-1", TEXT, 1, is_large=False),
    Arm("small-markov-1", CHAIN, 1, is_large=False),
)


def measure(session: Session) -> Results:
    """Trains each ladder, seals the forecast, trains its run and scores the forecast."""
    arms = ARMS[1:2] if session.small else ARMS
    rows, runs, crps, inside, errors, entropy = [], [], [], 0, [], None
    for arm in arms:
        session.train("sweeps", "forecast", *arm.words)
        session.run("analysis", "forecasts", f"STORE/{arm.store}", "--verify")
        [outcome] = session.json("analysis", "forecasts", f"STORE/{arm.store}", "--json", "-")["forecasts"]
        records = {record.run_id: record for record in Store(session.store / arm.store).records()}
        target = records.pop(outcome["run_id"])
        title = f"{TITLES[arm.corpus]}, {'quickstart' if arm.is_large else 'small ladder'}, seed {arm.seed}"
        measured, error = outcome["measured"], outcome["measured"] / outcome["loss"] - 1
        rows.append(
            [title, f"{outcome['reach']['C']:.3g}×", [outcome["loss"], *outcome["interval"]], measured, error,
             "yes" if outcome["inside"] else "no", outcome["crps"], outcome["pit"]]
        )  # fmt: skip
        runs.append(
            [title, len(records), outcome["C"], outcome["N"], outcome["D"], outcome["time"],
             first_start(target), minutes(target), outcome["commit"][:12]]
        )  # fmt: skip
        inside += outcome["inside"]
        errors.append(abs(error))
        crps.append(outcome["crps"])
        entropy = target.about.get("corpus_facts", {}).get("entropy_rate", entropy)
    draw(session, arms[0])
    columns = [
        Column("forecast"), Column("FLOPs beyond the ladder"), Column("forecast loss [95% interval]", ".3f"),
        Column("measured loss", ".4f"), Column("error", "+.2%"), Column("inside"), Column("CRPS", ".4f"),
        Column("PIT", ".2f"),
    ]  # fmt: skip
    run_columns = [
        Column("forecast"), Column("runs of the ladder"), Column("C", ".2e"), Column("N", ",.0f"), Column("D", ".3g"),
        Column("sealed"), Column("run started"), Column("minutes of training", ".0f"), Column("commit of the seal"),
    ]  # fmt: skip
    values = {
        "forecasts": Value(len(arms)), "inside": Value(inside), "within": Value(sum(error <= 0.01 for error in errors)),
        "largest": Value(max(errors), ".2%"), "crps": Value(sum(crps) / len(crps), ".4f"),
        "entropy": Value(entropy, ".4f"),
    }  # fmt: skip
    return Results({"main": Table(columns, rows), "runs": Table(run_columns, runs)}, values)


def first_start(record: Record) -> str:
    """Returns when the first process of a run started."""
    return str([*record.about.get("before", []), record.about][0]["started"])


def minutes(record: Record) -> float:
    """Returns the minutes that the processes of a run took together."""
    return float(record.about["seconds"]) / 60


def draw(session: Session, arm: Arm) -> None:
    """Draws the forecast of one ladder with its outcome, for the page."""
    folder = Path(session.path("OUT"))
    folder.mkdir(parents=True, exist_ok=True)
    session.run("analysis", "figure", "forecasts", f"STORE/{arm.store}", "--out", "OUT/forecasts.png")
    shutil.copy(folder / "forecasts.png", session.figures)
