"""The undamaged files of the commands that train: a store of four short runs, with checkpoints and evaluations."""

from __future__ import annotations

import json
from pathlib import Path

from scaling.config.run import RunConfig, dumps
from scaling.config.validation import to_dict
from scaling.store.record import Store
from sweeps.planning.rules import run_at_width
from tests.damage.process import Request, Server
from tests.support.sweeps import stored_corpus

SENTENCES = 6000
TASKS = ("--tasks", "copying-2", "--items", "5")
SECONDS = 400.0


def write_trained_origin(folder: Path, server: Server) -> Path:
    """Trains and evaluates the runs; writes `store/` and `input/` into a new folder and returns it.

    Args:
        folder: The folder.
        server: Runs the commands.
    """
    for name in ("store", "input", "text", "cwd", "temporary"):
        (folder / name).mkdir(parents=True)
    sentences = (f"{i} squared is {i * i}, and {i} plus {i} is {i + i}.\n" for i in range(SENTENCES))
    (folder / "text" / "squares.txt").write_text("".join(sentences))
    store = str(folder / "store")
    run(server, folder, "scaling", "prepare", f"text:{folder / 'text'}", "--store", store)
    configs = short_runs(Store(store))
    lines = [json.dumps(to_dict(config)) + "\n" for config in configs]
    (folder / "input" / "small.jsonl").write_text("".join(lines))
    (folder / "input" / "config.json").write_text(dumps(configs[0]))
    run(server, folder, "sweeps", "launch", str(folder / "input" / "small.jsonl"), "--store", store, "--workers", "1")
    run(server, folder, "scaling", "evaluate", "--all-runs", "--store", store, *TASKS)
    for name in ("stdout", "stderr"):
        (folder / name).unlink()
    return folder


def short_runs(store: Store) -> list[RunConfig]:
    """Two sizes at two lengths; the longer run of each size starts from the shorter."""
    corpus = stored_corpus(store)
    return [run_at_width(width, corpus, length=32, steps=steps, budget=None) for width in (8, 16) for steps in (20, 40)]


def run(server: Server, folder: Path, *words: str) -> None:
    done = server.run(Request(words, str(folder / "cwd"), SECONDS, training=True))
    assert done.status == 0, done.stderr
