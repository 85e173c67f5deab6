"""Small sweeps, for the real trainer and for the small one of sweeps_trainer.py, and what tests ask of their stores."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig, override, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.data.token_writer import TokenSource, write_tokens
from scaling.data.tokens import open_tokens
from scaling.store.record import Record, Store
from sweeps.engines import get_engine
from sweeps.engines.cluster_jobs import Job
from sweeps.engines.submission import Submission, parse_options
from sweeps.launching.launch import launch, write_sweep
from sweeps.launching.options import LaunchOptions
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import Plan, execution_order, plan_sweep
from tests.support.commands import ROOT

CORPUS = Corpus(name="a text", tokens="cd" * 32, vocab=257, train=2_000_000)

TRAINER = (sys.executable, str(ROOT / "tests" / "support" / "clusters" / "sweeps_trainer.py"))


def small_grid() -> list[RunConfig]:
    """Four short runs, of two sizes at two budgets, in order of execution."""
    budgets = (2e10, 4e10)
    runs = isoflop_grid(
        CORPUS,
        IsoflopDesign(widths=(16, 24), budgets=budgets, sizes_per_budget=2, centre=size_at_ratio(20.0), length=16),
    )
    return execution_order(runs)


SMALL_GRID_IDS = [run_id(config) for config in small_grid()]


def launch_small_grid(store: Path) -> int:
    """Launch the small grid with the small trainer; its exit status."""
    return launch(Store(store), "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER))


def submit_runs(engine: str, store: Store, sweep: str, configs: list[RunConfig], options: Mapping[str, str]) -> Job:
    """Submit runs to an engine other than local; its job."""
    chosen = get_engine(engine)
    submission = Submission(store=store, sweep=sweep, configs=configs)
    job: Job = chosen.submit(submission, parse_options(chosen.options, options))
    return job


def dry_run_text(engine: str, store: Store, sweep: str, configs: list[RunConfig], options: Mapping[str, str]) -> str:
    """What the dry run of an engine prints."""
    chosen = get_engine(engine)
    submission = Submission(store=store, sweep=sweep, configs=configs)
    assert chosen.dry_run is not None
    return chosen.dry_run(submission, parse_options(chosen.options, options)).as_text()


def wait_until(happened: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something to happen; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def trainer_pids(store: Path) -> list[int]:
    """Process ids of the small trainers started in this store, in order."""
    path = store / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def trained_grid(corpus: Corpus) -> list[RunConfig]:
    """Two sizes at two budgets: some 250 steps of small models."""
    return execution_order(
        isoflop_grid(
            corpus,
            IsoflopDesign(
                widths=(8, 16), budgets=(4e9, 6e9), sizes_per_budget=2, centre=size_at_ratio(90.0), length=16
            ),
        )
    )


def eight_times_longer(runs: list[RunConfig]) -> list[RunConfig]:
    """With eight times the steps: long enough to be interrupted."""
    return [override(run, [f"steps={8 * run.steps}"]) for run in runs]


def stored_corpus(store: Store) -> Corpus:
    """The corpus of the only token file of a store."""
    file = open_tokens(next(store.token_files.glob("*.tokens")))
    return Corpus(name=file.corpus, tokens=file.content_hash, vocab=file.vocab, train=len(file.train))


def curves(store: Store, runs: list[RunConfig]) -> dict[str, list[dict[str, float]]]:
    """Training curves by run id."""
    return {run_id(config): store.curve(run_id(config)) for config in runs}


def small_plan() -> Plan:
    """The plan of the small grid: the longer run of each size starts from the shorter."""
    return plan_sweep(small_grid(), CORPUS)


def planned_in_store(store: Store) -> Plan:
    """The small plan, written to the store as sweep `grid`."""
    planned = small_plan()
    write_sweep(store, "grid", planned)
    return planned


def write_ended(
    store: Store, config: RunConfig, state: str = "done", computed: int | None = None, **about: object
) -> None:
    """A record as a run leaves it at its end."""
    final = {"loss": 2.0, "step": config.steps} if state == "done" else {}
    about = {"seconds": 10.0, "steps_computed": config.steps if computed is None else computed, **about}
    store.write(Record(run_id=run_id(config), config=config, status=state, final=final, about=about))


def write_noise_corpus(store: Store) -> Store:
    """Write a token file of 60,000 random symbols out of 16."""
    tokens = np.random.default_rng(0).integers(0, 16, 60_000).astype(np.uint16)
    write_tokens(
        store.token_files, TokenSource("noise", "symbols", vocab=16, eod=None), [tokens[:50_000]], [tokens[50_000:]]
    )
    return store


FORTY_STEPS = (150, 250, 350)


def forty_runs(corpus: Corpus) -> list[RunConfig]:
    """13 trunks of three lengths each, and a run that diverges."""
    base = RunConfig(
        model=ModelConfig(vocab=16, width=8, layers=1, heads=2, mlp_width=16),
        data=DataConfig(tokens=corpus.tokens, length=16),
        optimizer=OptimizerConfig(lr=0.01),
        schedule=ScheduleConfig(warmup=10),
        eval=EvalConfig(every=0, sequences=8),
        batch=4,
        steps=FORTY_STEPS[0],
    )
    runs = [replace(base, seed=seed, steps=steps) for seed in range(13) for steps in FORTY_STEPS]
    return execution_order([*runs, replace(base, optimizer=OptimizerConfig(lr=1e30), seed=99)])


def ten_runs(corpus: Corpus) -> list[RunConfig]:
    """Three trunks of the forty runs, three lengths each, and the run that diverges."""
    return [run for run in forty_runs(corpus) if run.seed in (0, 1, 2, 99)]


class Page(HTMLParser):
    """Tags, attributes and text of a page; every tag closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
