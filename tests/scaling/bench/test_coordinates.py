"""The transfer check and the coordinate check: what is planned, what is drawn, and what must come out."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import DataError
from analysis.figures import save
from scaling.config.run import RunConfig, dumps, run_id
from scaling.counting.counts import parameters, run_flops
from scaling.store.record import Record, Store
from sweeps.definitions import transfer
from sweeps.planning.corpus import Corpus
from tests.support.commands import call_command, command
from tests.support.training import train_run

CORPUS = Corpus(name="cpython", tokens="ab" * 32, vocab=258, train=10**7)
STEP = transfer.RATES[1] / transfer.RATES[0]


def best_rates(store: Store, out: Path) -> dict[str, float]:
    """What the figure's data say: the best rate by parametrisation and width."""
    save.save_figure(store.root, "transfer", out)
    with out.with_suffix(".data.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["series"].startswith("best rate, ")]
    return {row["series"].removeprefix("best rate, "): float(row["x"]) for row in rows}


def finish(store: Store, config: RunConfig, loss: float | None) -> None:
    """A record as a run leaves it; no loss: it diverged."""
    final = {"step": config.steps, "tokens": config.tokens} | ({} if loss is None else {"loss": loss})
    record = Record(
        run_id=run_id(config), config=config, status="diverged" if loss is None else "done", final=final,
        params=parameters(config.model), flops=run_flops(config),
    )  # fmt: skip
    store.write(record)


def bowl(config: RunConfig, best: float) -> float:
    """A loss whose minimum in ln rate is known."""
    return 3 - 0.1 * np.log2(config.model.width) + 0.05 * np.log(config.optimizer.lr / best) ** 2


def test_every_width_is_run_at_every_rate_under_both() -> None:
    runs = transfer.transfer(CORPUS)
    assert len({run_id(run) for run in runs}) == len(runs) == 2 * len(transfer.WIDTHS) * len(transfer.RATES)
    assert max(transfer.WIDTHS) == 8 * min(transfer.WIDTHS)
    np.testing.assert_allclose(np.diff(np.log2(transfer.RATES)), 1)
    for run in runs:
        assert run.model.head == transfer.HEAD and run.model.mlp_width == transfer.MLP_RATIO * run.model.width


def test_the_figure_finds_the_best_rate_of_each_width(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for run in transfer.transfer(CORPUS):
        best = 0.01 if run.model.parametrization == "mup" else 0.02 * 16 / run.model.width
        finish(store, run, None if run.optimizer.lr > 0.1 else bowl(run, best))
    result = best_rates(store, tmp_path / "transfer.png")
    for width in transfer.WIDTHS:
        assert result[f"muP, width {width}"] == pytest.approx(0.01, rel=1e-6)
        assert result[f"standard, width {width}"] == pytest.approx(0.02 * 16 / width, rel=1e-6)
    assert "diverged, muP, width 16" in (tmp_path / "transfer.data.csv").read_text()


def test_a_best_rate_at_the_end_of_the_grid_is_doubtful(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for run in transfer.transfer(CORPUS):
        finish(store, run, bowl(run, 1e-5))
    assert all(name.endswith("(hollow)") for name in best_rates(store, tmp_path / "transfer.svg"))


def test_a_store_without_one_sweep_of_rates_is_an_error_that_says_why(tmp_path: Path) -> None:
    runs, store = transfer.transfer(CORPUS), Store(tmp_path / "store")
    for run in runs[:2]:
        finish(store, run, 2.0)
    with pytest.raises(DataError, match="launch the sweep transfer-check first"):
        best_rates(store, tmp_path / "transfer.pdf")
    for run in runs[:3]:
        finish(store, run, bowl(run, 0.01))
        finish(store, dataclasses.replace(run, steps=500), bowl(run, 0.01))
    with pytest.raises(DataError, match="2 sweeps of learning rates"):
        best_rates(store, tmp_path / "transfer.pdf")


def coordinates(path: Path, *words: object) -> dict[tuple[str, str], dict[str, float]]:
    """Exponents by parametrisation and activation, as the command says them."""
    done = command("scaling", "coordinates", path, "--json", *words)
    assert done.returncode == 0, done.stderr
    return {(row["parametrization"], row["name"]): row for row in json.loads(done.stdout)["slopes"]}


@pytest.fixture
def config(tiny: RunConfig, tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text(dumps(dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, vocab=64), batch=4)))
    return path


@pytest.mark.slow
def test_updates_grow_with_width_under_standard_and_not_under_mup(config: Path) -> None:
    result = coordinates(config, "--widths", "32,128", "--steps", 3, "--set", "data.length=16")
    for name in ("first layer", "last layer", "logits"):
        assert result["standard", name]["change"] > 0.25, result
        assert result["mup", name]["change"] < 0.1, result
    for name in ("first layer", "last layer"):  # logits come down to their limit: the head's own draw fades as 1/√width
        assert result["mup", name]["change"] > -0.25, result


def test_the_figure_draws_the_last_step_and_its_exponents(tmp_path: Path) -> None:
    rows = [
        {"parametrization": name, "name": "logits", "width": width, "layers": 2, "step": step, "size": 1.0,
         "change": step * (width if name == "standard" else 7.0)}
        for name in ("mup", "standard") for width in (16, 64) for step in (0, 3)
    ]  # fmt: skip
    path = tmp_path / "check.json"
    path.write_text(json.dumps({"steps": 3, "along": "width", "rows": rows, "slopes": []}))
    save.save_figure(path, "coordinates", tmp_path / "check.svg")
    with (tmp_path / "check.data.csv").open() as file:
        shown = {(row["series"], float(row["x"])): float(row["y"]) for row in csv.DictReader(file)}
    assert shown == {("standard, logits", 16): 48, ("standard, logits", 64): 192} | {
        ("muP, logits", w): 21 for w in (16, 64)
    }
    path.write_text(json.dumps({"steps": 4, "along": "width", "rows": rows}))
    with pytest.raises(DataError, match=r"has no coordinate check .*include the last step.*run `python -m"):
        save.save_figure(path, "coordinates", tmp_path / "check.svg")


@pytest.mark.slow
def test_updates_grow_with_depth_under_mup_and_not_under_completep(config: Path) -> None:
    result = coordinates(config, "--depths", "2,8", "--steps", 3, "--set", "data.length=16")
    assert result["completep", "last layer"]["change"] < 0.1, result
    assert result["mup", "last layer"]["change"] > 0.25, result


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--widths", "24,40"), "--widths 24: heads = 1 at width 16"),
        (("--widths", "32"), "two or more different whole numbers"),
        (("--widths", "32,64", "--depths", "1,2"), "give only one of them"),
        (("--steps", 0), "--steps 0: must be 1 or more"),
        (("--parametrizations", "ntk"), "must be one of standard, mup, completep"),
    ],
)
def test_a_check_that_cannot_be_is_refused_in_one_line(
    tiny: RunConfig, tmp_path: Path, words: tuple, says: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(dumps(dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, mlp_width=33, heads=1))))
    done = call_command("scaling", "coordinates", path, *words)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.long
def test_the_best_rate_stays_under_mup_and_falls_under_standard(
    store: Store, tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "WIDTHS", (16, 128))
    monkeypatch.setattr(transfer, "RATES", transfer.RATES[:6])
    corpus = Corpus(name="text", tokens=tiny.data.tokens, vocab=tiny.model.vocab, train=10**6)
    for run in transfer.transfer(corpus):
        train_run(run, store)
    result = best_rates(store, tmp_path / "transfer.pdf")
    assert 1 / STEP <= result["muP, width 128"] / result["muP, width 16"] <= STEP
    assert result["standard, width 128"] / result["standard, width 16"] < 1 / STEP
