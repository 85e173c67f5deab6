"""Planning: budgets met, sizes shared, trunks first, savings exact."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random

import pytest

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.config.validation import ValidatedConfig
from scaling.counting.counts import parameters, run_flops, training_flops
from scaling.store.record import Record, Store
from sweeps.definitions import DEFINITIONS, find_definition
from sweeps.errors import SweepError
from sweeps.interface.plan_table import as_json, as_text
from sweeps.planning import plan, rules
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio, steps_at_width
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import execution_order, plan_cost, plan_sweep, step_shape

CORPUS = Corpus(name="a text", tokens="ab" * 32, vocab=257, train=2_000_000)
LONG = dataclasses.replace(CORPUS, train=10**10, facts={"equations": 2209, "example": 9})  # of modular and labels


def small(seed: int = 0) -> list[RunConfig]:
    return isoflop_grid(
        CORPUS,
        IsoflopDesign(
            widths=(8, 16, 24), budgets=(1e10, 2e10, 4e10), sizes_per_budget=2, centre=size_at_ratio(20.0), length=16
        ),
        seed=seed,
    )


def same_but(config: RunConfig, **changes: object) -> RunConfig:
    return dataclasses.replace(config, **changes)


def test_the_quickstart_is_an_isoflop_grid_that_meets_its_budgets() -> None:
    runs = DEFINITIONS["quickstart"].make(CORPUS)
    budgets = {run.budget for run in runs}
    assert len(budgets) >= 4
    for budget in budgets:
        group = [run for run in runs if run.budget == budget]
        assert len({parameters(run.model)["total"] for run in group}) >= 5
        for run in group:
            assert run.budget is not None
            assert abs(run_flops(run)["total"] / run.budget - 1) <= 0.01


def test_the_markov_sweep_is_a_grid_of_sizes_and_tokens() -> None:
    runs = DEFINITIONS["markov"].make(CORPUS)
    sizes, tokens = ({key(run) for run in runs} for key in (lambda r: parameters(r.model)["total"], lambda r: r.tokens))
    assert len(sizes) >= 5 and len(tokens) >= 4 and len(runs) == len(sizes) * len(tokens)
    assert max(tokens) / min(tokens) > 7 and max(sizes) / min(sizes) > 7


@pytest.mark.parametrize("name", ["quickstart", "markov"])
def test_runs_of_one_size_differ_in_steps_alone(name: str) -> None:
    by_width: dict[int, list[RunConfig]] = {}
    for run in DEFINITIONS[name].make(CORPUS):
        by_width.setdefault(run.model.width, []).append(run)
    assert max(len(runs) for runs in by_width.values()) >= 3
    for runs in by_width.values():
        assert len({same_but(run, steps=10_000, budget=None) for run in runs}) == 1
        assert len({prefix_id(run, run.schedule.warmup) for run in runs}) == 1


@pytest.mark.parametrize("name", DEFINITIONS)
def test_ids_are_unique_and_stable(name: str) -> None:
    first, second = plan_sweep(DEFINITIONS[name].make(LONG), LONG), plan_sweep(DEFINITIONS[name].make(LONG), LONG)
    ids = [run.run_id for run in first.runs]
    assert len(set(ids)) == len(ids)
    assert ids == [run.run_id for run in second.runs]
    assert ids == [run_id(run.config) for run in first.runs]
    seeded = plan_sweep(DEFINITIONS[name].make(LONG, seed=100), LONG)  # beyond the seeds that one sweep runs over
    assert not set(ids) & {run.run_id for run in seeded.runs}


def test_budget_is_a_label_and_never_identity() -> None:
    run = small()[0]
    assert run_id(same_but(run, budget=None)) == run_id(run)


def test_a_budget_too_small_for_whole_steps_says_so() -> None:
    with pytest.raises(SweepError, match="whole steps miss it by over 1%"):
        steps_at_width(
            24,
            CORPUS,
            length=16,
            flops=1.5 * training_flops(rules.model_at_width(24, 257), 16, rules.batch_sequences(16))["total"],
        )


def test_a_vocabulary_too_large_for_the_budgets_is_one_line() -> None:
    with pytest.raises(SweepError, match=r"with a vocabulary of 32,000: .*use a smaller vocabulary"):
        DEFINITIONS["quickstart"].make(dataclasses.replace(CORPUS, vocab=32_000))


def test_saved_flops_equal_a_brute_force_count_of_distinct_steps() -> None:
    """What a sweep must compute is each distinct step once, however it is ordered."""
    runs = small()
    runs += [same_but(run, schedule=dataclasses.replace(run.schedule, decay=0.4)) for run in runs[:2]]  # same trunk
    runs += [same_but(run, schedule=dataclasses.replace(run.schedule, name="cosine")) for run in runs[:3]]
    runs += [same_but(runs[0], seed=5)]  # shares nothing
    distinct = {
        (prefix_id(run, step), training_flops(run.model, run.data.length, run.batch)["total"])
        for run in runs
        for step in range(1, run.steps + 1)
    }
    brute = sum(flops for _, flops in distinct)
    figures = plan_cost(plan_sweep(runs, CORPUS))
    assert figures["flops"] == brute
    assert figures["flops_saved"] == sum(run_flops(run)["total"] for run in runs) - brute > 0
    assert figures["tokens_separate"] == sum(run.tokens for run in runs)
    assert figures["flops_left"] == brute


def test_trunks_come_before_branches_and_shapes_stay_together() -> None:
    runs = small() + small(seed=1)
    # shapes and trunks of equal cost: only the order keeps them apart
    runs += [same_but(run, optimizer=dataclasses.replace(run.optimizer, beta2=0.9)) for run in small()]
    runs += [same_but(run, optimizer=dataclasses.replace(run.optimizer, lr=1e-4)) for run in small()]
    expected = [run_id(run) for run in execution_order(runs)]
    for attempt in range(5):
        random.Random(attempt).shuffle(runs)
        ordered = execution_order(runs)
        assert [run_id(run) for run in ordered] == expected
    shapes = [step_shape(run) for run in ordered]
    assert sum(a != b for a, b in itertools.pairwise(shapes)) + 1 == len(set(shapes))
    for i, run in enumerate(ordered):
        for later in ordered[i + 1 :]:
            if prefix_id(later, 0) == prefix_id(run, 0):
                assert run.decay_start <= later.decay_start
    trunks = [prefix_id(run, 0) for run in ordered]
    assert sum(a != b for a, b in itertools.pairwise(trunks)) + 1 == len(set(trunks))


def test_each_run_starts_from_the_longest_trunk_before_it() -> None:
    planned = plan_sweep(small(), CORPUS)
    by_width: dict[int, int] = {}
    for run in planned.runs:
        assert run.from_step == by_width.get(run.config.model.width, 0)
        by_width[run.config.model.width] = run.config.decay_start
    assert any(run.from_step for run in planned.runs)


def test_a_run_planned_twice_is_refused() -> None:
    runs = small()
    with pytest.raises(SweepError, match="planned twice"):
        plan_sweep([*runs, same_but(runs[0], budget=1.0)], CORPUS)


def test_what_the_store_has_costs_nothing_and_still_lends_its_trunk(tmp_path) -> None:
    store = Store(tmp_path)
    planned = plan_sweep(small(), CORPUS)
    trunk = next(run for run, after in itertools.pairwise(planned.runs) if after.from_step)
    store.write(Record(run_id=trunk.run_id, config=trunk.config, status="done"))
    decay = trunk.config.decay_start
    (store.checkpoints / f"{decay:08d}-{prefix_id(trunk.config, decay)}").mkdir(parents=True)
    second = plan_sweep(small(), CORPUS, store)
    assert [run.run_id for run in second.remaining] == [
        run.run_id for run in planned.runs if run.run_id != trunk.run_id
    ]
    assert plan_cost(second)["flops_left"] == plan_cost(planned)["flops_left"] - trunk.flops_to_run
    assert plan_cost(second)["flops"] == plan_cost(planned)["flops"]
    assert "1 of 6 runs are in the store as done: will be skipped" in as_text(second)


def test_a_lost_trunk_is_paid_for_again(tmp_path) -> None:
    store = Store(tmp_path)
    planned = plan_sweep(small(), CORPUS)
    trunk, branch = next(pair for pair in itertools.pairwise(planned.runs) if pair[1].from_step)
    store.write(Record(run_id=trunk.run_id, config=trunk.config, status="done"))
    second = {run.run_id: run for run in plan_sweep(small(), CORPUS, store).runs}
    assert second[branch.run_id].from_step == 0 < branch.from_step


def test_a_stopped_run_goes_on_from_its_own_checkpoint_even_in_its_decay(tmp_path) -> None:
    store, run = Store(tmp_path), small()[0]
    late = run.decay_start + 3
    (store.run_dir(run_id(run)) / "checkpoints" / f"{late:08d}-{prefix_id(run, late)}").mkdir(parents=True)
    (store.checkpoints / f"{late + 1:08d}-{'0' * 64}").mkdir(parents=True)
    assert plan_sweep([run], CORPUS, store).runs[0].from_step == late


def test_time_is_absent_until_it_was_measured() -> None:
    planned = plan_sweep(small(), CORPUS)
    assert "seconds_left" not in plan_cost(planned)
    assert plan_cost(planned, rate=1e9)["seconds_left"] == plan_cost(planned)["flops_left"] / 1e9
    assert all("status" not in run for run in as_json(planned)["runs"])


def test_plan_as_json_holds_the_contract() -> None:
    planned = plan_sweep(small(), CORPUS)
    data = json.loads(json.dumps(as_json(planned), allow_nan=False))
    for row, run in zip(data["runs"], planned.runs, strict=True):
        assert (row["run_id"], row["N"], row["D"], row["C"]) == (run.run_id, run.N, run.D, run.C)
        assert row["tokens_per_parameter"] == run.D / run.N
    assert data["cost"]["shapes"] == 3


def test_reading_the_text_more_than_once_is_said_aloud() -> None:
    short_text = dataclasses.replace(CORPUS, train=max(run.tokens for run in small()) // 2)
    text = as_text(plan_sweep(small(), short_text))
    assert "read more than the" in text
    assert "up to 2.0 epochs" in text
    assert "epochs" not in as_text(plan_sweep(small(), dataclasses.replace(CORPUS, train=10**9)))


def test_an_unknown_sweep_lists_the_known_ones() -> None:
    with pytest.raises(SweepError, match=r"sweep 'quikstart': must be one of quickstart, markov"):
        find_definition("quikstart")


@pytest.mark.parametrize("width", range(8, 1025, 8))
def test_rules_give_every_width_a_model_that_holds(width: int) -> None:
    model = rules.model_at_width(width, 257)
    assert model.heads * model.head == width
    assert 0 < rules.learning_rate(model) < 0.1
    wider = rules.model_at_width(width + 8, 257)
    assert parameters(wider)["total"] > parameters(model)["total"]
    assert rules.learning_rate(wider) <= rules.learning_rate(model)
    assert rules.warmup_steps(wider, 128) >= rules.warmup_steps(model, 128)


def test_a_large_plan_makes_each_model_once_and_looks_up_each_prefix_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted, not time: ids and costs of runs of one shape share what they have in common."""
    made: list[type] = []
    coerce = ValidatedConfig.__post_init__
    monkeypatch.setattr(ValidatedConfig, "__post_init__", lambda self: (made.append(type(self)), coerce(self))[1])
    prefixes: list[int] = []
    monkeypatch.setattr(plan, "prefix_id", lambda config, step: (prefixes.append(step), prefix_id(config, step))[1])
    ratios = tuple(20.0 + 0.1 * i for i in range(300))
    corpus = dataclasses.replace(LONG, vocab=263)  # no other test has made these models
    built = plan_sweep(find_definition("ladder").make(corpus, widths=(128, 256), ratios=ratios), corpus)
    assert built.totals["flops"] > 0 and len(built.runs) == 600
    assert made.count(ModelConfig) <= 4 and made.count(RunConfig) == 600 and made.count(DataConfig) <= 4
    assert len(prefixes) <= 5 * 600
