"""`sweeps next`: the runs that it adds are of the family of those there are, within the budget, and new."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaling.config.run import EvalConfig, RunConfig, prefix_id
from scaling.config.validation import from_dict
from scaling.counting.counts import parameters, total_run_flops
from scaling.store.record import Store
from sweeps.commands import next as following
from sweeps.definitions import DEFINITIONS
from sweeps.definitions.quickstart import BUDGETS, WIDTHS
from sweeps.errors import SweepError
from sweeps.planning import rules, run_family
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, parameters_at_width, size_at_ratio
from sweeps.planning.corpus import read_corpus
from sweeps.planning.plan import plan_cost, plan_sweep
from sweeps.planning.rules import RULES, SMALL, TPU
from sweeps.planning.run_pattern import RunPattern, TrainedRun
from sweeps.planning.settings import parse_settings
from tests.support import known_store
from tests.support.commands import call_command


def swept(store: Store, corpus: Path) -> Store:
    """An isoFLOP grid of the rules' runs on the corpus, their losses on the surface of known_store."""
    text_corpus = read_corpus(corpus)
    filled(
        store,
        isoflop_grid(
            text_corpus,
            IsoflopDesign(
                widths=WIDTHS, budgets=BUDGETS[::2], sizes_per_budget=5, centre=size_at_ratio(40), length=128
            ),
        ),
    )
    return store


def filled(store: Store, configs: list[RunConfig]) -> None:
    """The runs, done, their losses on the surface of known_store."""
    random = np.random.default_rng(0)
    for config in configs:
        N = parameters(config.model)["total"]
        final = known_store.loss(N, config.tokens) * float(np.exp(0.003 * random.standard_normal()))
        store.write(known_store.record(config, "done", final))


def trained(configs: list[RunConfig]) -> list[TrainedRun]:
    return [TrainedRun(config, 2.0) for config in configs]


@pytest.mark.slow
def test_a_sweep_of_what_is_next_keeps_its_budget_and_is_new(store: Store, corpus: Path) -> None:
    have = {record.run_id for record in swept(store, corpus).records()}
    words = (
        "sweeps",
        "next",
        store.root,
        "--target",
        "C=1e14",
        "--budget",
        "2e12",
        "--runs",
        "6",
        "--bootstrap",
        "200",
    )
    done = call_command(*words, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 1 <= len(result["runs"]) <= 6 and result["cost"]["flops_separate"] <= 2e12
    advised = sorted((round(run["N"]), run["D"]) for run in result["advice"]["runs"])
    for run, (N, D) in zip(sorted(result["runs"], key=lambda run: (run["N"], run["D"])), advised, strict=True):
        assert run["N"] == N and run["D"] == pytest.approx(D, rel=0.15) and 5 * 0.85 < run["D"] / N < 640
        assert run["run_id"] not in have and run["config"]["data"]["tokens"] == read_corpus(corpus).tokens
    low, high = result["advice"]["interval"]
    assert result["advice"]["expected"]["ratio"] < 1 and low < result["advice"]["value"] < high
    shown = call_command(*words)
    assert shown.returncode == 0 and "expected after these runs" in shown.stdout and "remaining: " in shown.stdout
    nothing = call_command(*words, "--worth", "0.99")
    assert nothing.returncode == 0 and "no runs are recommended" in nothing.stdout, nothing.stderr
    assert json.loads(call_command(*words, "--worth", "0.99", "--json").stdout)["runs"] == []


def test_what_is_next_is_of_the_family_of_the_runs_there_are(store: Store, corpus: Path) -> None:
    text_corpus = read_corpus(corpus)
    grid = DEFINITIONS["ladder"].make(
        text_corpus, rule_set=replace(TPU, length=512), ratios=(20.0, 40.0, 80.0, 160.0), seed=3
    )
    grid = [replace(entry, precision="bfloat16", eval=EvalConfig(every=50, sequences=64)) for entry in grid]
    filled(store, grid)
    words = ("--target", "C=1e19", "--budget", "5e17", "--runs", "6", "--bootstrap", "100", "--seed", "3", "--json")
    done = call_command("sweeps", "next", store.root, *words)
    assert done.returncode == 0, done.stderr
    trunks = {prefix_id(entry, 0) for entry in grid}
    result = [from_dict(RunConfig, run["config"]) for run in json.loads(done.stdout)["runs"]]
    known = [entry for entry in result if entry.model in {point.model for point in grid}]
    assert known and all(prefix_id(entry, 0) in trunks for entry in known)
    for entry in result:
        by_rules = rules.run_at_width(
            entry.model.width, text_corpus, length=512, steps=entry.steps, budget=None, seed=3, rule_set=TPU
        )
        assert entry == replace(by_rules, precision="bfloat16", eval=grid[0].eval)


CHANGES = [[], ["mup=64"], ["lr=0.003@1e6^-0.3", "batch=16384"]]


@pytest.mark.parametrize("requested", CHANGES, ids=["as they are", "muP", "rate and batch"])
@pytest.mark.parametrize("named", RULES)
def test_the_rules_are_those_that_made_most_runs(named: str, requested: list[str], corpus: Path) -> None:
    text_corpus, store, make = read_corpus(corpus), Store(corpus.parent), DEFINITIONS["ladder"].make
    by = {"widths": (128, 256), "ratios": (20.0, 80.0)} | parse_settings("ladder", make, [f"rules={named}", *requested])
    done = make(text_corpus, **by)
    other = replace(done[0], optimizer=replace(done[0].optimizer, lr=0.5))
    result = run_family.find_family(store, text_corpus, trained([*done, other]), requested)
    assert isinstance(result, run_family.RunFamily) and f"rules={named}, which 4 of 5 runs follow" in result.notes[0]
    assert all(result.run(entry.model.width, entry.steps, entry.seed) == entry for entry in done)
    if not requested:
        with pytest.raises(SweepError, match="--set mup=64: a setting of the rules, and 0 of 4 runs of"):
            run_family.find_family(store, text_corpus, trained(done), ["mup=64"])
        with pytest.raises(SweepError, match=f"--set length=96: the store's runs have {result.example.data.length}: "):
            run_family.find_family(store, text_corpus, trained(done), ["length=96"])
        with pytest.raises(SweepError, match=r"--set optimizer\.lr=1: the runs follow rules, which determine it"):
            run_family.find_family(store, text_corpus, trained(done), ["optimizer.lr=1"])
    chosen = run_family.find_family(store, text_corpus, trained([other]), [f"rules={named}", *requested])
    assert isinstance(chosen, run_family.RunFamily) and chosen.run(256, done[-1].steps, 0) == done[-1]


def test_runs_that_follow_no_rules_are_continued_by_their_own_pattern(store: Store, corpus: Path) -> None:
    text_corpus, make = read_corpus(corpus), DEFINITIONS["ladder"].make
    by = parse_settings("ladder", make, ["rules=small", "lr=0.003@1e6^-0.3", "batch=16384"])
    done = make(text_corpus, **{"widths": (128, 256), "ratios": (20.0, 80.0)} | by)
    family = run_family.find_family(store, text_corpus, trained(done), ["optimizer.clip=0.5"])
    assert isinstance(family, RunPattern) and "optimizer.lr = " in family.notes[0] and "N^-0.297" in family.notes[0]
    sizes = family.sizes(run_family.WIDTHS)
    advice = {"runs": [{"N": N, "D": 60.0 * N} for N, width in sizes.items() if width in (192, 384)], "budget": 1e20}
    made = following.recommended_configs(advice, sizes, family, 5, store)
    expected = make(text_corpus, **{"widths": (192, 384), "ratios": (60.0,), "seed": 5} | by)
    for run, other in zip(made, expected, strict=True):
        assert (run.batch, run.seed, run.optimizer.clip, run.data) == (other.batch, 5, 0.5, other.data)
        assert run.optimizer.lr == pytest.approx(other.optimizer.lr, rel=0.05)
        assert run.steps == pytest.approx(other.steps, rel=0.01)
    with pytest.raises(SweepError, match=r"--set optimizer\.lr: must be one value"):
        run_family.find_family(store, text_corpus, trained(done), ["optimizer.lr=1,2"])


def test_rules_that_cannot_have_a_base_are_passed_over(corpus: Path) -> None:
    model_run, base = read_corpus(corpus), replace(SMALL, mup_base=24)  # the other rules' heads do not divide 24
    done = [
        rules.run_at_width(width, model_run, length=128, steps=900, budget=None, rule_set=base) for width in (24, 40)
    ]
    result = run_family.find_family(Store(corpus.parent), model_run, trained(done), ["mup=24"])
    assert (
        isinstance(result, run_family.RunFamily)
        and result.rule_set == base
        and [result.run(entry.model.width, 900, 0) for entry in done] == done
    )


def test_every_width_that_may_be_advised_has_a_model_by_its_rules(corpus: Path) -> None:
    text_corpus = read_corpus(corpus)
    for by in RULES.values():
        result = run_family.widths_by_size(text_corpus, by)
        assert set(by.widths) <= set(result.values()) and list(result) == sorted(result)
        assert all(rules.model_at_width(width, text_corpus.vocab, by).width == width for width in result.values())
    assert all(width % 128 == 0 for width in run_family.widths_by_size(text_corpus, TPU).values())


def test_what_exact_counts_are_over_the_budget_is_given_by_all_runs(store: Store, corpus: Path) -> None:
    text_corpus = read_corpus(corpus)
    widths = {parameters_at_width(width, text_corpus, SMALL): width for width in (16, 32)}
    family = run_family.RunFamily(
        corpus=text_corpus,
        rule_set=SMALL,
        example=rules.run_at_width(16, text_corpus, length=128, steps=100, budget=None),
    )
    runs = [{"N": N, "D": 60.0 * N} for N in widths]
    whole = following.recommended_configs({"runs": runs, "budget": 1e15}, widths, family, 0, store)
    budget = 0.8 * sum(total_run_flops(entry) for entry in whole)
    less = following.recommended_configs({"runs": runs, "budget": budget}, widths, family, 0, store)
    assert 0.97 * budget < sum(total_run_flops(entry) for entry in less) <= budget
    assert [entry.steps / all_.steps for entry, all_ in zip(less, whole, strict=True)] == pytest.approx(
        [0.8, 0.8], rel=0.02
    )
    twice = following.recommended_configs({"runs": runs[:1] * 2, "budget": 1e15}, widths, family, 0, store)
    assert [entry.seed for entry in twice] == [0, 1]


def test_what_is_next_takes_half_as_long_where_two_workers_train(tmp_path: Path, corpus: Path) -> None:
    text_corpus = read_corpus(corpus)
    first = rules.run_at_width(32, text_corpus, length=128, steps=100, budget=None)
    built = plan_sweep([replace(first, seed=seed) for seed in (1, 2)], text_corpus)
    quoted = []
    for workers in (1, 2):
        store = Store(tmp_path / str(workers))
        took = {"seconds": 10.0, "steps_computed": 100, "machine_share": 1 / workers}
        store.write(replace(known_store.record(first, "done", 2.0), about=took))
        rate = following.measured_rate(built, store)
        quoted.append(plan_cost(built, rate)["seconds_left"])
    assert quoted == pytest.approx([20.0, 10.0])
    assert following.measured_rate(built, Store(tmp_path / "none")) is None


def test_next_says_what_is_missing(store: Store) -> None:
    for words, says in (
        ((store.root, "--target", "C=1e14", "--budget", "2e12"), "launch a sweep first"),
        ((store.root / "none", "--target", "C=1e14", "--budget", "2e12"), "not a store"),
    ):
        done = call_command("sweeps", "next", *words)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_sweep_of_what_is_next_has_a_name_not_a_path(store: Store) -> None:
    words = ("--target", "C=1e14", "--budget", "2e12", "--launch", "../../x")
    done = call_command("sweeps", "next", store.root, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("--launch ../../x: must consist of letters, digits")
