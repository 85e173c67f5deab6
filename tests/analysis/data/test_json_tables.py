"""JSON and JSON lines of every shape that scripts write: the same runs, or one line that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from tests.support.tables import refusal, write_table

PARAMS, TOKENS, LOSSES = [1e8, 2e8, 4e8], [1e9, 3e9, 9e9], [3.5, 3.25, 2.75]
NAMES = ["small", "medium", "large"]
RUNS = [{"params": N, "tokens": D, "loss": L} for N, D, L in zip(PARAMS, TOKENS, LOSSES, strict=True)]
NESTED = [{"config": {"params": r["params"]}, "summary": {"tokens": r["tokens"], "loss": r["loss"]}} for r in RUNS]
HISTORY = [[{"step": s, "tokens": r["tokens"] * s / 4, "loss": r["loss"] + 4 - s} for s in (1, 2, 4)] for r in RUNS]
FRAME = pd.DataFrame(RUNS, index=NAMES)


def by_name(values: list[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, values, strict=True))


def lists(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {key: [row[key] for row in rows] for key in rows[0]}


SHAPES: dict[str, Any] = {
    "list": RUNS,
    "list in a member": {"created": "today", "runs": RUNS},
    "list among others": {"runs": RUNS, "models": [{"name": "a"}]},
    "by run": by_name(RUNS),
    "by run in a member": {"meta": {"x": 1}, "results": by_name(RUNS)},
    "by run beside facts": {"created": "today", "seed": 3, **by_name(RUNS)},
    "nested by run": by_name(NESTED),
    "nested list": {"data": {"runs": NESTED}},
    "histories by run": by_name([{"params": N, "history": h} for N, h in zip(PARAMS, HISTORY, strict=True)]),
    "histories in a list": {
        "runs": [{"config": {"params": N}, "history": h} for N, h in zip(PARAMS, HISTORY, strict=True)]
    },
    "histories by quantity": by_name([
        {"config": {"params": N, "betas": [0.9, 0.95]}, "history": lists(h)}
        for N, h in zip(PARAMS, HISTORY, strict=True)
    ]),
    "lists in runs": [{"params": N, **lists(h)} for N, h in zip(PARAMS, HISTORY, strict=True)],
    "pandas by column": json.loads(FRAME.reset_index(drop=True).to_json()),
    "pandas by column and name": json.loads(FRAME.to_json()),
    "pandas by row": json.loads(FRAME.to_json(orient="index")),
    "pandas split": json.loads(FRAME.to_json(orient="split")),
    "pandas table": json.loads(FRAME.to_json(orient="table")),
    "lists with a header": [["params", "tokens", "loss"], *([r["params"], r["tokens"], r["loss"]] for r in RUNS)],
    "lists by column": {key: [row[key] for row in RUNS] for key in RUNS[0]},
    "by corpus and run": {"c4": {"s": RUNS[0], "m": RUNS[1]}, "pile": {"s": RUNS[2], "m": RUNS[2]}},
}  # fmt: skip


FINAL = ReadOptions(checkpoints="final")


def reading(shape: str) -> ReadOptions:
    """Of shapes with histories the last row of each run is compared."""
    return FINAL if "histories" in shape or shape == "lists in runs" else ReadOptions()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_runs(tmp_path: Path, shape: str) -> None:
    points = load(write_table(tmp_path, json.dumps(SHAPES[shape]), "a.json"), options=reading(shape))
    rows = np.argsort(points.N)[:3]
    for letter, values in zip("NDL", (PARAMS, TOKENS, LOSSES), strict=True):
        assert points[letter][rows].tolist() == values


@pytest.mark.parametrize("shape", ["by run", "histories by run", "histories by quantity"])
def test_runs_by_key_are_named_by_it(tmp_path: Path, shape: str) -> None:
    points = load(write_table(tmp_path, json.dumps(SHAPES[shape]), "a.json"), options=reading(shape))
    assert [name.split(" in ")[0] for name in points.names] == NAMES


def test_lines_and_values_one_after_another_are_runs(tmp_path: Path) -> None:
    lines = [{"params": N, "history": h} for N, h in zip(PARAMS, HISTORY, strict=True)]
    for name, text in (
        ("a.jsonl", "\n".join(map(json.dumps, lines))),
        ("a.json", "\n".join(json.dumps(line, indent=1) for line in lines)),
    ):
        points = load(write_table(tmp_path, text, name), options=FINAL)
        assert points.N.tolist() == PARAMS and points.L.tolist() == LOSSES and points.D.tolist() == TOKENS


def test_memory_is_read_as_files_are() -> None:
    for source in (NESTED, by_name(RUNS), by_name(NESTED), pd.DataFrame(NESTED)):
        assert load(source).L.tolist() == LOSSES
    assert load(SHAPES["lists in runs"], options=FINAL).L.tolist() == LOSSES


def test_objects_in_cells_are_columns_whatever_their_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"setup": [r["config"] for r in NESTED], "outcome": [r["summary"] for r in NESTED]})
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (frame, tmp_path / "a.parquet"):
        points = load(
            source, options=ReadOptions(columns={"N": "setup.params", "D": "outcome.tokens", "L": "outcome.loss"})
        )
        assert points.N.tolist() == PARAMS and points.L.tolist() == LOSSES


def test_histories_go_to_laws_of_steps(tmp_path: Path) -> None:
    steps = laws.Law(lambda S, *, E: E + 0 * S, "", {"E": (1.0,)})
    points = load(write_table(tmp_path, json.dumps(SHAPES["histories by run"]), "a.json"), steps)
    assert points["S"].tolist() == [1, 2, 4] * 3 and points.L.tolist() == [row["loss"] for h in HISTORY for row in h]


def test_one_run_with_its_history_is_a_curve(tmp_path: Path) -> None:
    """The form of trainer_state.json of Hugging Face."""
    log = [{"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0}, {"step": 2, "eval_loss": 3.5}]
    content = {"best_metric": None, "num_params": 1e8, "num_input_tokens": 1e9, "log_history": log}
    points = load(write_table(tmp_path, json.dumps(content), "a.json"))
    assert points.N.tolist() == [1e8] and len(points) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"runs": [{"params": 1', "not JSON"),
        ("[1, 2]", "list of objects"),
        ("3", "list of objects"),
        ("{}", "list of objects"),
        ("[[1, 2], [3, 4]]", "list of objects"),
        ('[["params", "loss"], [1, 2], [3]]', "row 2: must be a list of 2 cells"),
        ('{"columns": ["params", "loss"], "data": [[1, 2, 3]]}', "row 1: must be a list of 2 cells"),
        ('{"a\\nb": 1}', "it has a b"),
        ('{"a": {"step": [1, 2], "loss": [3.0]}, "b": {"loss": 1}}', "lists of different lengths"),
        ('{"note": "x"}', "it has note"),
        ("[" * 100_000 + "]" * 100_000, "cannot be read"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "cannot be read"),
        ('[{"params": 1e999, "tokens": 1, "loss": 2}]', "column params"),
        ("1" * 5000, "cannot be read"),
        ('{"params": 1}\n[1]', "must be an object"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(write_table(tmp_path, text, "a.json"))


def test_deep_literals_in_cells_are_text(tmp_path: Path) -> None:
    """Cells in Python syntax are parsed as literals: nothing in them runs, and their depth is bounded."""
    for cell in ("{'a': " + "[" * 100_000, "{'a': __import__('os').getpid()}", "{" * 5000):
        table = f'params,tokens,loss,config\n1e8,1e9,3,"{cell}"\n2e8,1e9,2.9,"{{}}"\n'
        assert load(write_table(tmp_path, table)).L.tolist() == [3, 2.9]
