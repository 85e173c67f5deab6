"""A command that needs an extra which is not installed says so in one line that installs it, and exits with 2."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from scaling.data.tokens import open_tokens
from tests.packaging.wheel import InstalledWheel
from tests.support.commands import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
RUNS = [(n, d) for n in range(1, 5) for d in range(1, 5)]
CORPUS = "markov:vocab=16,tokens=20000"
LAUNCH = f"sweeps launch quickstart --corpus {CORPUS} --store S"

pytestmark = pytest.mark.docs


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("scaling prepare tfds:ag_news_subset,feature=description --store S", "tensorflow_datasets", "data"),
        ("scaling prepare tfds:ag_news_subset,feature=description --store S", "tensorflow", "data"),
        ("scaling prepare seqio:task,module=tasks --store S", "seqio", "data"),
        ("scaling prepare hf:folder --store S", "datasets", "data"),
        ("scaling prepare arrayrecord:folder --store S", "array_record", "data"),
        ("scaling prepare jsonl:gs://bucket/folder --store S", "fsspec", "cloud"),
        ("scaling prepare parquet:s3://bucket/folder --store S", "s3fs", "cloud"),
        ("scaling prepare text:text.txt --tokenizer sentencepiece:300 --store S", "sentencepiece", "data"),
        ("scaling prepare text:text.txt --tokenizer sentencepiece:a.model --store S", "sentencepiece", "data"),
        ("scaling prepare text:text.txt --tokenizer hf:tokenizer.json --store S", "tokenizers", "data"),
        ("scaling prepare text:text.txt --tokenizer tiktoken:gpt2 --store S", "tiktoken", "data"),
        ("scaling import hf:model --store S", "safetensors", "hf"),
        ("scaling train run.json --store S --place wandb=online", "wandb", "wandb"),
        (f"{LAUNCH} --wandb", "wandb", "wandb"),
        (f"{LAUNCH} --engine slurm --dry-run", "submitit", "slurm"),
        (f"{LAUNCH} --engine ray", "ray", "ray"),
        ("analysis fit s3://bucket/store --law chinchilla", "s3fs", "cloud"),
        ("analysis fit gs://bucket/store --law chinchilla", "gcsfs", "cloud"),
        ("analysis fit runs.csv --law chinchilla --intervals posterior", "numpyro", "bayes"),
        ("scaling train run.json --store gs://bucket/store", "fsspec", "cloud"),
        ("sweeps status quickstart --store s3://bucket/store", "s3fs", "cloud"),
        ("scaling bench sae", "sae_lens", "sae-lens"),
        ("scaling aot run.json --topology v5e-4", "libtpu", "tpu"),
        ("sweeps check quickstart --topology v5e-4 --store S", "libtpu", "tpu"),
    ],
)
def test_the_error_names_the_extra(
    installed_wheel: InstalledWheel, tmp_path: Path, command: str, missing: str, extra: str
) -> None:
    (tmp_path / "text.txt").write_text("some text\n" * 1000)
    (tmp_path / "tasks.py").touch()
    (tmp_path / "runs.csv").write_text("N,D,L\n" + "".join(f"{n}e6,{d}e8,{3 + 1 / n + 1 / d}\n" for n, d in RUNS))
    for name in ("a.model", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    write_config(tmp_path / "run.json", "a" * 64)
    write_model(tmp_path / "model")
    check(installed_wheel.run("-m", *command.split(), folder=tmp_path, missing=[missing], check=False), extra)


def test_the_error_of_a_benchmark_names_the_extra(installed_wheel: InstalledWheel, tmp_path: Path) -> None:
    installed_wheel.run("-m", "scaling", "prepare", CORPUS, "--store", "S", folder=tmp_path)
    (tokens,) = (tmp_path / "S" / "tokens").glob("*.tokens")
    write_config(tmp_path / "run.json", open_tokens(tokens).content_hash)
    installed_wheel.run("-m", "scaling", "train", "run.json", "--store", "S", folder=tmp_path)
    evaluate = ("-m", "scaling", "evaluate", "--all-runs", "--store", "S", "--harness", "mmlu")
    check(installed_wheel.run(*evaluate, folder=tmp_path, missing=["lm_eval"], check=False), "harness")


def write_config(path: Path, tokens: str) -> None:
    model = {"vocab": 16, "width": 8, "layers": 1, "heads": 1, "mlp_width": 16}
    config = {"model": model, "data": {"tokens": tokens, "length": 8}, "optimizer": {"lr": 0.01}}
    path.write_text(json.dumps({**config, "batch": 2, "steps": 2}))


def write_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 1}))
    (folder / "model.safetensors").touch()


def check(done: subprocess.CompletedProcess[str], extra: str) -> None:
    assert extra in EXTRAS
    error = done.stderr.splitlines()[-1]
    assert f"pip install 'scaling[{extra}]'" in error, done.stderr
    assert done.returncode == 2 and "Traceback" not in done.stderr
