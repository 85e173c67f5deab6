"""A command that needs an extra which is not installed says so in one line that installs it, and exits with 2."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.packaging.wheel import InstalledWheel
from tests.support.commands import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CORPUS = "markov:vocab=16,tokens=20000"
LAUNCH = f"sweeps launch quickstart --corpus {CORPUS} --store S"

pytestmark = pytest.mark.docs


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("scaling prepare tfds:ag_news_subset,feature=description --store S", "tensorflow_datasets", "data"),
        ("scaling prepare tfds:ag_news_subset,feature=description --store S", "tensorflow", "data"),
        ("scaling prepare seqio:task,module=tasks --store S", "seqio", "data"),
        ("scaling prepare text:text.txt --tokenizer sentencepiece:300 --store S", "sentencepiece", "data"),
        ("scaling train run.json --store S --place wandb=online", "wandb", "wandb"),
        (f"{LAUNCH} --wandb", "wandb", "wandb"),
        (f"{LAUNCH} --engine slurm --dry-run", "submitit", "slurm"),
        (f"{LAUNCH} --engine ray", "ray", "ray"),
        ("analysis fit s3://bucket/store --law chinchilla", "s3fs", "cloud"),
        ("analysis fit gs://bucket/store --law chinchilla", "gcsfs", "cloud"),
        ("scaling train run.json --store gs://bucket/store", "fsspec", "cloud"),
        ("sweeps status quickstart --store s3://bucket/store", "s3fs", "cloud"),
        ("scaling evaluate RUN --store S --harness mmlu", "lm_eval", "harness"),
        ("scaling aot run.json --topology v5e-4", "libtpu", "tpu"),
        ("sweeps check quickstart --topology v5e-4 --store S", "libtpu", "tpu"),
    ],
)
def test_the_error_names_the_extra(
    installed_wheel: InstalledWheel, tmp_path: Path, command: str, missing: str, extra: str
) -> None:
    assert extra in EXTRAS
    (tmp_path / "text.txt").write_text("some text\n" * 1000)
    (tmp_path / "tasks.py").touch()
    model = {"vocab": 16, "width": 8, "layers": 1, "heads": 1, "mlp_width": 16}
    config = {"model": model, "data": {"tokens": "a" * 64, "length": 8}}
    (tmp_path / "run.json").write_text(json.dumps({**config, "optimizer": {"lr": 0.01}, "batch": 2, "steps": 2}))
    done = installed_wheel.run("-m", *command.split(), folder=tmp_path, missing=[missing], check=False)
    error = done.stderr.splitlines()[-1]
    assert f"pip install 'scaling[{extra}]'" in error, done.stderr
    assert done.returncode == 2 and "Traceback" not in done.stderr
