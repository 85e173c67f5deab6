"""The undamaged files: a small store of runs that were never trained, and inputs of each kind that a command reads."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

from scaling.config.run import RunConfig, run_id
from scaling.config.validation import to_dict
from scaling.counting.counts import parameters, run_flops
from scaling.data.token_writer import TokenSource, write_tokens
from scaling.data.tokens import open_tokens
from scaling.store.record import Record, Store
from scaling.training.tracking.tensorboard import TensorBoard
from tests.support import items_store, known_store

SHAPES = ((16, 1), (32, 2), (64, 3))
BUDGETS = (1e12, 3e12, 1e13)
ITEMS = 24
CURVE_ROWS = 24
SWEEP = "small"
SOURCE = TokenSource("markov:vocab=258,tokens=5000", "symbols", vocab=258, eod=None)

LAW = """\
def power(N, D, *, E=2.0, A=100.0, alpha=0.3):
    return E + A / N**alpha
"""
FIGURE = """\
from analysis.figures import marks, style


def losses(source, width):
    figure, (axes,) = style.panels(width, 1, 1, height=2.4)
    marks.points(axes, "runs", source.points.N, source.points.L, color="black", label="runs")
    return figure
"""
SWEEP_FILE = """\
import json
from pathlib import Path

from scaling.config import RunConfig, from_dict

def small(corpus):
    lines = Path(__file__).with_name("small.jsonl").read_text().splitlines()
    return [from_dict(RunConfig, json.loads(line)) for line in lines]
"""


def write_origin(folder: Path) -> Path:
    """Writes `store/` and `input/` into a new folder; returns it."""
    store = Store(folder / "store")
    tokens = np.random.default_rng(0).integers(0, 258, 5000).astype(np.uint16)
    path = write_tokens(store.token_files, SOURCE, [tokens[:4000]], [tokens[4000:]])
    corpus_hash = open_tokens(path).content_hash
    configs = write_runs(store, corpus_hash)
    write_sweep(store, configs)
    write_other_files(store, configs)
    write_inputs(folder / "input", store, configs)
    return folder


def write_runs(store: Store, corpus_hash: str) -> list[RunConfig]:
    """Writes nine runs that are done, with items, and one each that failed, is running, diverged and was stopped."""
    random, configs = np.random.default_rng(0), []
    for place, budget in enumerate(BUDGETS):
        for shape in SHAPES:
            config = on_corpus(known_store.config(*shape, budget), corpus_hash)
            final = known_store.loss(parameters(config.model)["total"], config.tokens)
            final *= float(np.exp(0.003 * random.standard_normal()))
            write_run(store, config, "done", known_store.curve(config, final, random, CURVE_ROWS))
            part, folder = place / 2, store.items_dir(run_id(config))
            answers = items_store.answers(random, -2 + 4 * part, ITEMS, "addition", 4, 0)
            items_store.write(folder / f"addition-4.{config.steps}.parquet", answers)
            choices = items_store.choices(random, 0.2 + part, ITEMS)
            items_store.write(folder / f"choice.{config.steps}.parquet", choices)
            configs.append(config)
    for status, shape in (("failed", (20, 1)), ("running", (28, 2)), ("diverged", (40, 3)), ("stopped", (44, 3))):
        config = on_corpus(known_store.config(*shape, 1e12), corpus_hash)
        curve = known_store.curve(config, 4.0, random, CURVE_ROWS)[: CURVE_ROWS // 2]
        write_run(store, config, status, curve)
        configs.append(config)
    return configs


def on_corpus(config: RunConfig, corpus_hash: str) -> RunConfig:
    return replace(config, data=replace(config.data, tokens=corpus_hash, corpus=SOURCE.corpus))


def write_run(store: Store, config: RunConfig, status: str, curve: list[dict[str, float]]) -> None:
    """Writes the record, the curve, the config and the log of a run."""
    is_finished, last = status in ("done", "diverged"), curve[-1]
    final = {"loss": last["val_loss"], "step": config.steps, "tokens": config.tokens} if status == "done" else {}
    about = {"commit": "c0ffee" * 6 + "abcd", "device": "cpu", "jax": "0.10.2", "corpus": SOURCE.corpus,
             "host": "vm", "pid": 7, "started": "2026-11-29T21:24:46+00:00", "seconds": 12.5, "compile_seconds": 1.0,
             "steps_computed": config.steps, "started_from": {"step": 0, "shared": False}, "shared_steps": 0,
             "tokens_per_second": 85595.0, "mesh": {"data": 1, "fsdp": 1}, "devices": 1}  # fmt: skip
    about |= {"error": "out of memory at step 3"} if status == "failed" else {}
    store.write(Record(run_id=run_id(config), config=config, status=status, sweep=SWEEP,
                       params=parameters(config.model), flops=run_flops(config), final=final,
                       evals={"addition-4/exact_match": 0.5} if status == "done" else {}, about=about))  # fmt: skip
    if status != "failed":
        (store.finish_curve if is_finished else store.append_curve)(run_id(config), curve)
    folder = store.run_dir(run_id(config))
    (folder / "config.json").write_text(json.dumps(to_dict(config)) + "\n")
    (folder / "log.txt").write_text("step 1\nout of memory at step 3\n")


def write_sweep(store: Store, configs: list[RunConfig]) -> None:
    """Writes the sweep and its placement."""
    planned = [{"N": parameters(c.model)["total"], "D": c.tokens, "C": int(c.budget or 0), "from": 0} for c in configs]
    store.write_sweep(SWEEP, configs, [run_id(config) for config in configs], planned)
    store.write_placement(SWEEP, {"remat": "none", "share": True})


def write_other_files(store: Store, configs: list[RunConfig]) -> None:
    """Writes leases, the log of the launch, an event file and the cache of records."""
    for config in configs:
        owner = {"host": "vm", "pid": 7, "machine": "m pid:[4026531836]", "born": "1", "token": "339e72b4c6ff8a04"}
        is_running = (store.run_dir(run_id(config)) / "curve.jsonl").exists()
        lease = {"owner": owner, "beats": 3, **({} if is_running else {"released": True})}
        store.leases.write(f"leases/{run_id(config)}/00000001.json", json.dumps(lease).encode())
    (store.root / "sweeps" / f"{SWEEP}.log").write_text("training 13 runs\n")
    (store.root / "sweeps" / f"{SWEEP}.lock").write_text("process 7 on vm")
    for config in configs[:3]:
        TensorBoard(store, config, store.curve(run_id(config)))


def write_inputs(folder: Path, store: Store, configs: list[RunConfig]) -> None:
    """Writes configs, tables, and files with code, as a command line names them."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(to_dict(configs[0]), indent=1) + "\n")
    (folder / f"{SWEEP}.jsonl").write_text("".join(json.dumps(to_dict(config)) + "\n" for config in configs))
    (folder / "law.py").write_text(LAW)
    (folder / "figure.py").write_text(FIGURE)
    (folder / "sweep.py").write_text(SWEEP_FILE)
    prices = Path(os.path.dirname(os.path.abspath(__file__))).parents[1] / "sweeps" / "cost" / "prices.json"
    (folder / "prices.json").write_bytes(prices.read_bytes())
    records = [record for record in store.records() if record.status == "done"]
    rows = [
        {"run": r.run_id[:8], "N": r.params["total"], "D": r.config.tokens, "C": r.flops["total"], "L": r.final["loss"]}
        for r in records
    ]
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.csv.write_csv(table, folder / "table.csv")
    pq.write_table(table, folder / "table.parquet")
    (folder / "table.json").write_text(json.dumps(rows))
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_results(folder / "harness")
    write_schedule(folder, np.random.default_rng(0))


def write_results(folder: Path) -> None:
    """Writes results of lm-evaluation-harness of five models, as that program does."""
    for number, size in enumerate((7e7, 1.6e8, 4.1e8, 1e9, 2.8e9)):
        accuracy, name = 0.26 + 0.12 * number, f"org/model-{number}"
        scores = {"alias": "arc_easy", "acc,none": accuracy, "acc_stderr,none": 0.01, "acc_norm,none": accuracy + 0.02}
        content = {
            "results": {"arc_easy": scores}, "group_subtasks": {"arc_easy": []}, "n-shot": {"arc_easy": 5},
            "configs": {"arc_easy": {"output_type": "multiple_choice", "doc_to_choice": ["A", "B", "C", "D"]}},
            "versions": {"arc_easy": 1.0}, "n-samples": {"arc_easy": {"original": 2376, "effective": 500}},
            "config": {"model": "hf", "model_args": f"pretrained={name},dtype=float32",
                       "model_num_parameters": int(size)},
            "model_name": name,
        }  # fmt: skip
        path = folder / name.replace("/", "__") / "results_2026-11-29T10-00-00.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content, indent=2))


def write_schedule(folder: Path, random: np.random.Generator) -> None:
    """Writes losses at a few steps of two runs, and the learning rates of all their steps."""
    steps = np.arange(1, 301)
    rates = {"cosine": 0.55 + 0.45 * np.cos(np.pi * steps / 300), "wsd": np.minimum(1.0, (301 - steps) / 60)}
    rows = [(step, 1e-3 * rate, run) for run, values in rates.items() for step, rate in zip(steps, values, strict=True)]
    (folder / "schedule.csv").write_text("step,lr,run\n" + "".join(f"{s},{r:.6g},{run}\n" for s, r, run in rows))
    losses = [(s, 2.5 + 0.6 * s**-0.5 + 0.001 * random.standard_normal(), run) for run in rates for s in steps[19::20]]
    (folder / "losses.csv").write_text("step,loss,run\n" + "".join(f"{s},{x:.6g},{run}\n" for s, x, run in losses))
