"""Numbers that must stay: ids, plans, counts, fits, and a store written by an earlier version.

`expected.json` was written by the code of November 2026 (commit d84e1c6), `store.tar.xz` by a sweep that it trained.
Only the command lines and `scaling.config` are used here. After an intended change, write the file again with
`python tests/golden/test_golden.py` and read its difference: an id that changes is a run that is trained again.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
CASES: dict[str, Any] = json.loads((HERE / "configs.json").read_text())

MARKOV = "markov:vocab=64,tokens=200000"
SMALL = ("rules=small", "length=64")
PLANS: dict[str, tuple[str, tuple[str, ...]]] = {  # corpus and settings
    "quickstart": (MARKOV, ()),
    "markov": (MARKOV, ()),
    "transfer-check": (MARKOV, ()),
    "emergence": (MARKOV, ("widths=8,16", "tokens=1e5,2e5")),
    "in-context": (MARKOV, ("widths=8,16", "tokens=1e5")),
    "isoflop": (MARKOV, ("budgets=1e17,1e18", "sizes=3")),
    "ladder": (MARKOV, ("widths=128,256", "ratios=5,20,80")),
    "kaplan-n": (MARKOV, (*SMALL, "widths=16,32", "tokens=1e6")),
    "kaplan-d": (MARKOV, (*SMALL, "width=32", "tokens=1e5,2e5,4e5")),
    "kaplan-c": (MARKOV, (*SMALL, "budgets=1e11,2e11", "sizes=2")),
    "kaplan-batch": (MARKOV, (*SMALL, "width=32", "factors=0.5,1", "rates=1,2")),
    "kaplan-shape": (MARKOV, ("widths=512,768,1024",)),
    "epochs": (MARKOV, (*SMALL, "widths=16", "unique=0.5", "times=1,2,4")),
    "lr-bracket": (MARKOV, (*SMALL, "widths=16,32", "factors=0.5,1", "lr=0.002@1e8^-0.4")),
    "batch-bracket": (MARKOV, (*SMALL, "widths=32", "factors=0.5,1,2", "batch=2048@1e5^0.5")),
    "seeds": (MARKOV, (*SMALL, "widths=32", "count=3", "mup=16")),
    "compare": (MARKOV, (*SMALL, "change=mlp=gelu,tied=true", "budgets=1e11", "sizes=2")),
    "grokking": ("modular:p=23,op=add,fraction=0.7,seed=0", ("seeds=2", "steps=500")),
    "sae": (MARKOV, ("widths=16,24", "latents=32,64", "l0=4,8", "kinds=topk,jumprelu", "tokens=1e5")),
    "double-descent": (
        "labels:classes=4,examples=100,held=100,noise=0.3,length=6,symbols=8,blur=0.25",
        ("widths=4,8", "seeds=2", "steps=100"),
    ),
}
REL = 1e-7  # of fitted numbers
MOST = 5  # runs of a plan that are kept in full

PRESETS = (
    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-125m", "gpt3-13b", "gpt3-175b", "chinchilla-70b", "llama2-7b",
    "llama2-70b", "llama3-8b", "llama3-70b", "gemma2-2b", "gemma2-9b", "gemma2-27b", "mixtral-8x7b", "t5-small",
    "t5-base", "kaplan-6x4288",
)  # fmt: skip


def run(module: str, *arguments: object, status: int = 0) -> str:
    """Standard output of `python -m MODULE ARGUMENTS`, in this process."""
    import importlib

    main: Callable[[list[str]], int] = importlib.import_module(f"{module}.__main__").main
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        ended = main([str(argument) for argument in arguments])
    assert ended == status, f"{module} {arguments}: exit {ended}"
    return out.getvalue()


def noisy(values: np.ndarray, sigma: float = 0.003) -> np.ndarray:
    return values * np.exp(sigma * np.random.default_rng(0).normal(size=len(values)))


def grid(*axes: np.ndarray) -> list[np.ndarray]:
    return [axis.ravel() for axis in np.meshgrid(*axes)]


def chinchilla(N: np.ndarray, D: np.ndarray) -> np.ndarray:
    return 1.7 + 400 * N**-0.34 + 900 * D**-0.32


def tables() -> dict[str, tuple[str, dict[str, np.ndarray], list[str]]]:
    """For each fit: the law, its points, more options."""
    N, D = grid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e11, 5))
    plane = {"N": N, "D": D, "L": noisy(chinchilla(N, D))}
    C = np.repeat(np.geomspace(1e17, 1e20, 5), 6)
    sizes = 0.3 * C**0.46 * np.tile(np.geomspace(0.3, 3.0, 6), 5)
    isoflop = {"N": sizes, "D": C / 6 / sizes, "budget": C, "L": noisy(chinchilla(sizes, C / 6 / sizes), 0.001)}
    budget, ratio = grid(np.geomspace(1e16, 1e21, 4), np.array([5.0, 20.0, 80.0, 320.0]))
    over = noisy(1.5 + (140 * ratio**0.12 + 190 * ratio**-0.12) * budget**-0.12)
    x = np.geomspace(1e5, 1e9, 20)
    loss = np.linspace(1.8, 4.5, 12)
    experts, dense = grid(np.array([1.0, 4.0, 16.0, 64.0, 256.0]), np.geomspace(1e7, 1e9, 5))
    counted = 1 / (1 / (experts - 1 + 1 / (1 / 1.85 - 1 / 314)) + 1 / 314)  # Clark 2022, equation 20
    e, n = np.log10(counted), np.log10(dense)
    routed = noisy(10 ** (1.1 - 0.082 * n - 0.108 * e + 0.009 * n * e), 0.0005)
    return {
        "chinchilla": ("chinchilla", plane, ["--at", "N=1e11,D=1e13"]),
        "chinchilla, lad": ("chinchilla", plane, ["--objective", "lad"]),
        "chinchilla, mse": ("chinchilla", plane, ["--objective", "mse", "--resampling", "cases"]),
        "chinchilla, E held": ("chinchilla", plane, ["--fix", "E=1.69", "--resampling", "parametric"]),
        "chinchilla, tied": ("chinchilla", plane, ["--tie", "beta=alpha", "--undertuned", "0.2"]),
        "chinchilla, profile": ("chinchilla", plane, ["--intervals", "profile"]),
        "chinchilla, part": ("chinchilla", plane, ["--where", "N<5e9 and D>2e9", "--delta", "0.01", "--seed", "3"]),
        "chinchilla, with C": ("chinchilla", {**isoflop, "C": isoflop["budget"]}, []),
        "chinchilla-2": ("chinchilla-2", isoflop, []),
        "chinchilla-2, equal": ("chinchilla-2", isoflop, ["--weighting", "equal"]),
        "chinchilla-2, akima": ("chinchilla-2", isoflop, ["--minimum", "akima"]),
        "kaplan-nd": ("kaplan-nd", {**plane, "L": noisy(((6e13 / N) ** 0.74 + 2e13 / D) ** 0.1)}, []),
        "kaplan-n": ("kaplan-n", {"N": x, "L": noisy((8.8e13 / x) ** 0.076)}, []),
        "power-c": ("power-c", {"C": x * 1e12, "L": noisy(1.5 + 1200 * (x * 1e12) ** -0.16)}, []),
        "over-training": ("over-training", {"C": budget, "M": ratio, "L": over}, []),
        "error": ("error", {"L": loss, "Err": noisy(0.85 - 2.1 * np.exp(-0.76 * loss), 0.01)}, []),
        "m2": ("m2", {"x": x, "L": noisy(0.3 + 50 * x**-0.35)}, []),
        "bnsl": ("bnsl", {"x": x, "L": noisy(0.2 + 5 * x**-0.1 * (1 + (x / 3e6) ** 2.5) ** -0.24)}, []),
        "routing": ("routing", {"N": dense, "E": experts, "L": routed}, []),
        "step-law-lr": ("step-law-lr", {"N": N, "D": D, "lr": noisy(1.79 * N**-0.713 * D**0.307, 0.05)}, []),
    }


# What is compared, each as JSON.


def ids() -> dict[str, Any]:
    from scaling.config import dumps, loads, override, prefix_id, run_id

    base, found = loads(json.dumps(CASES["base"])), {}
    for name, assignments in CASES["cases"].items():
        config = override(base, assignments)
        assert loads(dumps(config)) == config
        steps = sorted({1, min(100, config.steps), config.decay_start, config.steps})
        found[name] = {"run_id": run_id(config), "prefixes": {str(s): prefix_id(config, s)[:16] for s in steps}}
    return found


def plan(name: str, store: Path) -> dict[str, Any]:
    corpus, settings = PLANS[name]
    given = [word for setting in settings for word in ("--set", setting)]
    told = json.loads(run("sweeps", "plan", name, "--json", "--store", store, "--corpus", corpus, *given))
    runs = [[r["run_id"][:16], r["N"], r["D"], r["C"], r["from_step"], r["steps"]] for r in told["runs"]]
    sums = {key: sum(r[key] for r in told["runs"]) for key in ("N", "D", "C", "from_step")}
    cost = {key: value for key, value in told["cost"].items() if isinstance(value, int)}
    text = told["corpus"]["tokens"][:16]
    return {"tokens": text, "runs": runs[:MOST], "count": len(runs), "sums": sums, "cost": cost}


def counted(name: str) -> dict[str, Any]:
    told = json.loads(run("scaling", "count", name, "--json"))
    return {"params": told["params"], "flops": told["flops"]["total"], "parts": len(told["flops"])}


def fitted(name: str, folder: Path) -> dict[str, Any]:
    law, columns, more = tables()[name]
    path = folder / "points.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows(zip(*([repr(float(v)) for v in values] for values in columns.values()), strict=True))
    return short(json.loads(run("analysis", "fit", path, "--law", law, "--bootstrap", "100", *more, "--json", "-")))


def short(told: dict[str, Any]) -> dict[str, Any]:
    kept = {key: told[key] for key in ("law", "points", "params", "intervals", "level", "objective")}
    kept["starts"] = told["starts"]["tried"]  # how many agreed, rounding decides
    kept["doubts"] = len(told["verdict"]) if told["verdict"] != ["converged"] else 0
    at = {"at": [told["at"]["value"], *told["at"]["interval"]]} if "at" in told else {}
    optimum = {"optimum": [told["optimum"][name] for name in ("a", "b")]} if "optimum" in told else {}
    return kept | at | optimum


def store_of_before(folder: Path) -> Path:
    with tarfile.open(HERE / "store.tar.xz") as file:
        file.extractall(folder, filter="data")
    return folder


def table(store: Path) -> list[dict[str, str]]:
    columns = ("run_id", "sweep", "status", "N", "D", "C", "loss", "eval.recall-2/accuracy")
    rows = list(csv.DictReader(io.StringIO(run("analysis", "table", store, "--csv", "-"))))
    return [{name: row[name] for name in columns if row.get(name)} for row in rows]


def of_store(store: Path) -> dict[str, Any]:
    from scaling.record import open_store

    opened = open_store(store)
    curves = {}
    for record in opened.records():
        rows = opened.curve(record.run_id)
        curves[record.run_id[:16]] = [len(rows), rows[0]["loss"], rows[-1]["loss"], rows[-1].get("val_loss")]
    status = json.loads(run("sweeps", "status", "ladder", "--store", store, "--json"))
    options = {"chinchilla": ["--fix", "alpha=0.35,beta=0.37", "--objective", "mse"], "power-c": ["--objective", "mse"]}
    fits = {}
    for law, more in options.items():
        told = run("analysis", "fit", store, "--law", law, "--bootstrap", "100", *more, "--json", "-")
        fits[law] = short(json.loads(told))
    states = [[r["run_id"][:16], r["state"], r["flops_done"], r.get("loss")] for r in status["runs"]]
    return {"table": table(store), "curves": curves, "status": states, "fits": fits}


# The tests.


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((HERE / "expected.json").read_text())


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that keeps the corpora of the plans, so that each is prepared once."""
    return tmp_path_factory.mktemp("plans")


def same(found: Any, kept: Any, rel: float, where: str = "") -> None:
    """Numbers that are not whole within `rel`, all else equal."""
    if isinstance(kept, dict):
        assert isinstance(found, dict) and set(found) == set(kept), f"{where}: {found} is not {kept}"
        for key in kept:
            same(found[key], kept[key], rel, f"{where}.{key}")
    elif isinstance(kept, list):
        assert isinstance(found, list) and len(found) == len(kept), f"{where}: {found} is not {kept}"
        for place, (one, other) in enumerate(zip(found, kept, strict=True)):
            same(one, other, rel, f"{where}.{place}")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=rel, abs=1e-300), where
    else:
        assert found == kept, where


def compare_fits(found: dict[str, Any], kept: dict[str, Any]) -> None:
    """As near as other matrix kernels come (OpenBLAS's for Nehalem and Haswell: 3e-8; intervals: 2e-7)."""
    drawn = {"intervals", "at"}
    for names, rel in ((set(found) | set(kept)) - drawn, REL), (drawn, 10 * REL):
        one, other = ({name: fit[name] for name in names & set(fit)} for fit in (found, kept))
        same(one, other, rel)


def test_run_ids_and_prefix_ids(expected: dict[str, Any]) -> None:
    found = ids()
    assert set(found) == set(expected["ids"])
    for name, kept in expected["ids"].items():
        assert found[name] == kept, name


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str, expected: dict[str, Any], planned: Path) -> None:
    same(plan(name, planned), expected["plans"][name], 1e-12)


def test_every_sweep_is_planned_here() -> None:
    assert [line.split()[0] for line in run("sweeps", "list").splitlines()] == list(PLANS)


@pytest.mark.parametrize("name", PRESETS)
def test_counts_of_presets(name: str, expected: dict[str, Any]) -> None:
    assert counted(name) == expected["counts"][name]


@pytest.mark.parametrize("name", list(tables()))
def test_fits_of_made_points(name: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found, kept = fitted(name, tmp_path), expected["fits"][name]
    compare_fits(found, kept)


def test_a_store_of_an_earlier_version_opens(expected: dict[str, Any], tmp_path: Path) -> None:
    found, kept = of_store(store_of_before(tmp_path)), expected["store"]
    for law, fit in kept["fits"].items():
        compare_fits(found["fits"][law], fit)
    for part in ("curves", "status"):
        same(found[part], kept[part], 1e-12)
    by_run = {row["run_id"]: row for row in kept["table"]}  # the order of rows is another test's
    same({row["run_id"]: row for row in found["table"]}, by_run, 1e-12)


def write() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "ids": ids(),
            "plans": {one: plan(one, folder / "plans") for one in PLANS},
            "counts": {one: counted(one) for one in PRESETS},
            "fits": {one: fitted(one, folder) for one in tables()},
            "store": of_store(store_of_before(folder / "store")),
        }
    lines = []
    for part, values in found.items():
        inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in values.items())
        lines.append(f'"{part}": {{\n{inner}\n}}')
    Path(os.environ.get("GOLDEN_EXPECTED", HERE / "expected.json")).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.path.insert(0, str(HERE.parent.parent))
    write()
