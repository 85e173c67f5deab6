"""The commands that are run on damaged files."""

from __future__ import annotations

from dataclasses import dataclass

RECORDS = ("record", "run")
CURVES = (*RECORDS, "curve", "curve-lines")
ITEMS = (*RECORDS, "items")
SWEEPS = (*RECORDS, "sweep", "placement", "tokens", "tokens-verified", "lease", "config")
STATES = (*SWEEPS, "curve-lines", "log", "launch-lock", "launch-log")
CORPUS = "markov:vocab=258,tokens=5000"
RESAMPLES = ("--bootstrap", "100")  # the smallest number allowed


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: Its name here.
        words: Package and arguments; STORE, INPUT, OUT and RUN stand for folders and the id of a run.
        reads: Kinds of files that it uses; other kinds of damage are tried once each.
        cost: Seconds that it computes, about.
        one_run: Whether it is about one run, and so may refuse where that one is damaged.
        rows: Whether only the lines of other runs must be as before, because it shows the damaged run as such.
        index: Whether it is run with the cache of records.
        training: Whether it needs JAX.
        writes: Whether it changes the store.
        rewrites: Kinds of files that it is told to write again.
    """

    name: str
    words: tuple[str, ...]
    reads: tuple[str, ...]
    cost: float = 0.2
    one_run: bool = False
    rows: bool = False
    index: bool = False
    training: bool = False
    writes: bool = False
    rewrites: tuple[str, ...] = ()


def _fit(*words: str) -> tuple[str, ...]:
    return ("analysis", "fit", *words, *RESAMPLES, "--json", "OUT/fit.json")


def _figure(name: str, *words: str) -> tuple[str, ...]:
    return ("analysis", "figure", name, *words, "--out", "OUT/figure.svg")


COMMANDS = (
    Command("table", ("analysis", "table", "STORE"), CURVES),
    Command("table-csv", ("analysis", "table", "STORE", "--csv", "OUT/table.csv"), CURVES),
    Command("table-index", ("analysis", "table", "STORE", "--csv", "OUT/table.csv"), (*CURVES, "index"), index=True),
    Command("fit", _fit("STORE"), CURVES, cost=1.0),
    Command("fit-own-law", _fit("STORE", "--law", "INPUT/law.py:power"), ("record", "law-file"), cost=1.0),
    Command("fit-csv", _fit("INPUT/table.csv"), ("table-csv",), cost=1.0),
    Command("fit-json", _fit("INPUT/table.json"), ("table-json",), cost=1.0),
    Command("fit-json-lines", _fit("INPUT/table.jsonl"), ("table-lines",), cost=1.0),
    Command("fit-parquet", _fit("INPUT/table.parquet"), ("table-parquet",), cost=1.0),
    Command("fit-events", _fit("STORE/tensorboard", "--law", "power-d", "--run-names", "{N}x*", "--columns", "D=step"),
            ("events",)),
    Command("fit-schedule", _fit("INPUT/losses.csv", "--schedule", "INPUT/schedule.csv", "--law", "tissue"),
            ("schedule",), cost=1.0),
    Command("emergence-harness", ("analysis", "emergence", "INPUT/harness", "--x", "N", *RESAMPLES, "--json",
            "OUT/e.json"), ("harness", "harness-model"), cost=0.6),
    Command("optimum", ("analysis", "optimum", "STORE", "--budget", "1e14"), RECORDS, cost=0.7),
    Command("conventions", ("analysis", "conventions", "STORE", *RESAMPLES, "--json", "OUT/c.json"), RECORDS, cost=3.0),
    Command(
        "backtest",
        ("analysis", "backtest", "STORE", "--law", "chinchilla", "--holdout", "C>5e12", *RESAMPLES),
        RECORDS,
        cost=2.0,
    ),
    Command("multiplier", ("analysis", "multiplier", "STORE", "--by", "optimizer.name", *RESAMPLES), RECORDS, cost=1.0),
    Command(
        "analysis-next",
        ("analysis", "next", "STORE", "--target", "C=1e14", "--budget", "1e13", *RESAMPLES),
        RECORDS,
        cost=1.6,
    ),
    Command("emergence", ("analysis", "emergence", "STORE", *RESAMPLES, "--json", "OUT/e.json"), ITEMS, cost=0.8),
    Command("calibration", ("analysis", "calibration", "STORE", *RESAMPLES, "--json", "OUT/c.json"), ITEMS, cost=1.0),
    Command("grokking", ("analysis", "grokking", "STORE"), CURVES),
    Command("double-descent", ("analysis", "double-descent", "STORE"), CURVES),
    Command("figure-curves", _figure("curves", "STORE"), CURVES, cost=1.5),
    Command("figure-isoflop", _figure("isoflop", "STORE"), RECORDS, cost=1.8),
    Command("figure-own", _figure("INPUT/figure.py:losses", "STORE"), ("record", "figure-file"), cost=0.9),
    Command("report", ("analysis", "report", "STORE", "--out", "OUT/r", *RESAMPLES), (*CURVES, "items"), cost=28.0),
    Command("paper", ("analysis", "paper", "STORE", "--out", "OUT/p", "--law", "chinchilla", *RESAMPLES), RECORDS,
            cost=4.0),
    Command("report-csv", ("analysis", "report", "INPUT/table.csv", "--out", "OUT/r", *RESAMPLES), (), cost=20.0),
    Command("plan", ("sweeps", "plan", "INPUT/small.jsonl", "--store", "STORE"), (*SWEEPS, "run-configs")),
    Command(
        "plan-json",
        ("sweeps", "plan", "INPUT/small.jsonl", "--store", "STORE", "--json", "--slice", "v5e-16", "--prices",
         "INPUT/prices.json"),
        (*SWEEPS, "prices"),
    ),
    Command("plan-sweep", ("sweeps", "plan", "STORE/sweeps/small.json", "--store", "STORE"), SWEEPS),
    Command("plan-own", ("sweeps", "plan", "INPUT/sweep.py:small", "--store", "STORE", "--corpus", CORPUS),
            ("record", "sweep-file", "tokens"), rewrites=("token-files", "tokens", "store")),
    Command("status", ("sweeps", "status", "small", "--store", "STORE"), STATES, rows=True),
    Command("status-json", ("sweeps", "status", "small", "--store", "STORE", "--json"), STATES,
            rows=True),
    Command("status-html", ("sweeps", "status", "small", "--store", "STORE", "--html", "OUT/s.html"),
            (*STATES, "curve"), rows=True, cost=0.35),
    Command("check", ("sweeps", "check", "INPUT/small.jsonl", "--store", "STORE"), (*SWEEPS, "run-configs")),
    Command("launch-dry-run", ("sweeps", "launch", "INPUT/small.jsonl", "--store", "STORE", "--dry-run"),
            (*SWEEPS, "run-configs"), cost=0.3),
    Command("sweeps-next", ("sweeps", "next", "STORE", "--target", "C=1e14", "--budget", "1e13", *RESAMPLES),
            (*RECORDS, "tokens"), cost=5.0),
    Command("count", ("scaling", "count", "INPUT/config.json"), ("run-config",), cost=0.1),
    Command("count-run", ("scaling", "count", "STORE/runs/RUN/config.json", "--json"), ("config",), cost=0.1,
            one_run=True),
    Command("train-done", ("scaling", "train", "INPUT/config.json", "--store", "STORE"),
            (), cost=3.0, training=True, one_run=True, writes=True),
    Command("evaluate-all", ("scaling", "evaluate", "--all-runs", "--store", "STORE", "--tasks", "addition-4"),
            ITEMS, cost=3.0, training=True),
    Command("generate-untrained", ("scaling", "generate", "RUN", "--store", "STORE", "--prompt", "a"),
            (), cost=3.0, training=True, one_run=True),
)  # fmt: skip


CHECKPOINTS = ("checkpoint-manifest", "checkpoint-state", "checkpoint-metadata", "checkpoint")
SHARED = ("shared-manifest", "shared-curve", "shared-state", "shared-checkpoint")
TRAINED = ("record", "run", "config", "curve", "tokens", *CHECKPOINTS)
TASKS = ("--tasks", "copying-2", "--items", "5")
TRAINED_COMMANDS = (
    Command("generate", ("scaling", "generate", "RUN", "--store", "STORE", "--prompt", "a", "--tokens", "5"),
            TRAINED, cost=1.0, training=True, one_run=True),
    Command("evaluate", ("scaling", "evaluate", "RUN", "--store", "STORE", *TASKS, "--json"),
            (*TRAINED, "items"), cost=0.8, training=True, one_run=True, writes=True, rewrites=("items",)),
    Command("evaluate-runs", ("scaling", "evaluate", "--all-runs", "--redo", "--store", "STORE", *TASKS),
            (*TRAINED, "items"), cost=2.5, training=True, writes=True, rewrites=("items",)),
    Command("attention", ("scaling", "attention", "RUN", "--store", "STORE", "--prompt", "abc", "--out", "OUT/a.json"),
            TRAINED, cost=1.0, training=True, one_run=True),
    Command("train", ("scaling", "train", "STORE/runs/RUN/config.json", "--store", "STORE"),
            (*TRAINED, "checkpoint-curve", "lease", *SHARED), cost=2.0, training=True, one_run=True,
            writes=True),
    Command("train-resumed", ("scaling", "train", "INPUT/config.json", "--store", "STORE", "--set", "steps=60"),
            ("tokens", *SHARED), cost=3.0, training=True, one_run=True, writes=True),
    Command("launch", ("sweeps", "launch", "INPUT/small.jsonl", "--store", "STORE", "--workers", "1"),
            (*TRAINED, "sweep", "placement", "lease", "launch-lock", "launch-log", *SHARED), cost=3.0,
            training=True, writes=True, rewrites=("placement", "launch-lock", "launch-log")),
)  # fmt: skip


def command(name: str) -> Command:
    """Returns the command of a name."""
    return next(command for command in (*COMMANDS, *TRAINED_COMMANDS) if command.name == name)
