"""Files of a user's own, with the installed wheel outside the checkout: a corpus, a task and a block in one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.wheel import SQUARED_MLP, InstalledWheel

pytestmark = pytest.mark.docs
FILES = {
    "my_words.py": 'WORDS = "red green blue".split()\n',
    "my_corpus.py": """
import random

import my_words


def words(count=400):
    numbers = random.Random(0)
    for _ in range(count):
        yield " ".join(numbers.choices(my_words.WORDS, k=20))
""",
    "my_task.py": """
from scaling import Item


def parity(length, randbelow):
    bits = "".join(str(randbelow(2)) for _ in range(length))
    return Item(prompt=f"parity {bits}=", answer=str(bits.count("1") % 2), key=bits, chance=0.5)
""",
    "my_blocks.py": SQUARED_MLP,
}
MODEL = {"vocab": 257, "width": 16, "layers": 1, "heads": 2, "mlp_width": 32, "mlp": "my_blocks.py:Squared"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_a_corpus_a_task_and_a_block_of_own_files_are_prepared_trained_and_evaluated(
    installed_wheel: InstalledWheel, folder: Path
) -> None:
    def scaling(*arguments: str) -> str:
        return installed_wheel.run("-m", "scaling", *arguments, folder=folder).stdout

    prepared = json.loads(scaling("prepare", "my_corpus.py:words,count=300", "--store", "store", "--json"))
    assert prepared["documents"] == 300 and prepared["corpus"].startswith("my_corpus.py:words@")
    config = {
        "model": MODEL, "data": {"tokens": prepared["tokens"], "length": 32}, "optimizer": {"lr": 0.01}, "batch": 4,
        "steps": 12, "schedule": {"warmup": 2},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(config))
    code = ("--code", "my_blocks.py")
    counted = json.loads(scaling("count", "run.json", *code, "--json"))
    assert counted["params"]["mlp"] == 2 * 16 * 32
    scaling("train", "run.json", "--store", "store", *code, "--tasks", "my_task.py:parity-6", "--items", "5")
    [path] = (folder / "store" / "runs").glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "done" and record["params"] == counted["params"]
    assert record["config"]["model"]["mlp"].startswith("my_blocks.py:Squared@")
    assert any(name.startswith("parity.") and "-6/" in name for name in record["evals"])
    assert scaling("generate", record["run_id"], "--store", "store", *code, "--prompt", "red ", "--tokens", "4")
    again = scaling("evaluate", record["run_id"], "--store", "store", *code, "--tasks", "my_task.py:parity-9", "--json")
    assert not json.loads(again)["wrong"]


def test_a_sweep_takes_a_corpus_and_a_block_of_own_files(installed_wheel: InstalledWheel, folder: Path) -> None:
    grid = ("--set", "rules=small", "budgets=1.5e10,3e10", "sizes=2", "model.mlp=my_blocks.py:Squared")
    line = ("-m", "sweeps", "plan", "isoflop", *grid, "--corpus", "my_corpus.py:words", "--store", "store", "--json")
    plan = json.loads(installed_wheel.run(*line, folder=folder).stdout)
    assert len(plan["runs"]) == 4 and len({run["run_id"] for run in plan["runs"]}) == 4
