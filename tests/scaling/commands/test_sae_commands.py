"""Evaluation, page and steering of a trained sparse autoencoder, by the commands."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import scaling
from scaling.config.run import RunConfig, override
from scaling.evaluation.sae.run import latents_path, sequences_path, stored_scores
from scaling.store.record import Store
from tests.support.commands import call_command
from tests.support.training import train_run

pytestmark = pytest.mark.slow


def answer(*words: object, status: int = 0) -> str:
    done = call_command("scaling", *words)
    assert done.returncode == status, done.stderr
    assert status == 0 or (not done.stdout and done.stderr.count("\n") == 1), done.stderr
    return done.stdout if status == 0 else done.stderr


def check_evaluation(store: Store, run: str, line: dict) -> None:
    """The record, the tables and what was printed agree."""
    record = store.read(run)
    assert record is not None and line["run_id"] == run and line["tokens"] == 640
    for name, value in line["scores"].items():
        assert record.evals[name] == value
    assert record.evals["sae/n"] == 20 and record.evals["sae/tokens"] == 640
    low, high = line["intervals"]["sae/ce_score"]
    assert low < line["scores"]["sae/ce_score"] < high and line["scores"]["sae/l0"] == 3
    scores = stored_scores(store, run, line["step"])
    assert {f"sae/{name}": list(score.interval or ()) for name, score in scores.items()} == {
        name: line["intervals"][name] for name in line["intervals"] if "dense" not in name
    }
    latents = pq.read_table(latents_path(store, run, line["step"]))
    assert latents.num_rows == 24 and sum(latents["active_tokens"].to_pylist()) == 3 * 640
    assert sum(row["latents"] for row in line["density_histogram"]) == 24 - line["scores"]["sae/dead"]


def test_commands_of_trained_autoencoders(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    model, other = (train_run(override(tiny, [f"seed={seed}"]), store).run_id for seed in (0, 1))
    place = ("--store", store.root)
    shape = ["--layer", "0,1", "--latents", "24", "--l0", "3", "--tokens", "5120", "--batch", "512"]
    answer("sae", "train", model, *place, *shape)
    saes = sorted(r.run_id for r in store.records() if r.config.sae is not None)
    assert len(saes) == 2
    lines = [
        json.loads(line) for line in answer("sae", "evaluate", *saes, *place, "--tokens", 640, "--json").splitlines()
    ]
    for run, line in zip(saes, lines, strict=True):
        check_evaluation(store, run, line)
    table = answer("sae", "evaluate", saes[0][:12], *place)
    assert "sae/kl_score" in table and "density (share of tokens)" in table
    path = sequences_path(store, saes[0], lines[0]["step"])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Exception, match="sae evaluate RUN"):
        stored_scores(store, saes[0], lines[0]["step"])
    page = Path(answer("sae", "features", saes[0], *place, "--out", tmp_path / "out", "--tokens", 640).strip())
    assert page.name == "index.html" and f"Latents of sparse autoencoder {saes[0][:12]}" in page.read_text()
    check_steering(store, (model, other), saes[0])
    out = tmp_path / "exported"
    answer("sae", "export", saes[1], *place, "--out", out)
    again = json.loads(answer("sae", "import", out, *place, "--model", model, "--json"))["run_id"]
    line = json.loads(answer("sae", "evaluate", again, *place, "--tokens", 640, "--json"))
    assert again != saes[1] and line["scores"] == lines[1]["scores"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [page.name]


def check_steering(store: Store, models: tuple[str, str], sae_run: str) -> None:
    """A value of 0 changes no text, a large one does, and wrong arguments are one line."""
    (model, other), place = models, ("--store", store.root)
    prompt = ("generate", model, *place, "--prompt", "def ", "--tokens", 8, "--temperature", 0, "--json")
    texts = [json.loads(answer(*prompt, *more))["texts"] for more in (
        (), ("--sae", sae_run, "--steer", "2=0"), ("--sae", sae_run, "--steer", "2=500", "--steer", "3=1"),
    )]  # fmt: skip
    assert texts[0] == texts[1] != texts[2]
    greedy = scaling.Sampling(temperature=0)
    [text] = scaling.generate(model, store, "def ", tokens=8, sampling=greedy, sae=sae_run, steer={2: 500.0, 3: 1.0})
    assert text == texts[2][0]["text"]
    sae = ("--sae", sae_run)
    for words, message in {
        (*prompt, "--steer", "2=1"): "--steer: requires --sae",
        (*prompt, *sae): "requires --steer",
        (*prompt, *sae, "--steer", "24=1"): "has latents 0 to 23",
        (*prompt, *sae, "--steer", "2:1"): "must be LATENT=VALUE",
        (*prompt, "--sae", model, "--steer", "2=1"): "must be a sparse autoencoder",
        ("generate", other, *prompt[2:], *sae, "--steer", "2=1"): f"one of run {model[:12]}",
        ("sae", "evaluate", model, *place): "must be a sparse autoencoder",
        ("sae", "evaluate", sae_run, *place, "--tokens", 0): "must be 1 or more",
        ("sae", "features", sae_run, *place, "--out", store.root, "--latents", 0): "must be 1 or more",
        ("sae", "evaluate", sae_run, *place, "--step", 7): "no intact checkpoint",
    }.items():
        assert message in answer(*words, status=2)
