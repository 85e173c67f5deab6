"""The designs: budgets met, minima inside, trunks shared, one thing changed at a time."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import time

import numpy as np
import pytest

from analysis.laws.loss import chinchilla
from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.config.validation import ConfigError
from scaling.counting.counts import parameters, run_flops
from sweeps.definitions import DEFINITIONS
from sweeps.definitions.brackets import FACTORS
from sweeps.definitions.kaplan import nonembedding_parameters
from sweeps.errors import SweepError
from sweeps.interface.plan_table import as_json, as_text
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_cost, plan_sweep
from sweeps.planning.prior import PRIORS
from sweeps.planning.settings import NOT_SETTINGS, RULE_SETTINGS, parse_settings

BYTES = Corpus(name="bytes", tokens="ab" * 32, vocab=257, train=30_000_000_000)
PIECES = Corpus(name="pieces", tokens="cd" * 32, vocab=32_000, train=30_000_000_000)
EQUATIONS = Corpus(name="equations", tokens="ab" * 32, vocab=48, train=6000, facts={"equations": 2209})
LABELS = Corpus(name="labels", tokens="ab" * 32, vocab=27, train=4500, facts={"example": 9})
SMALL = ("quickstart", "markov", "transfer-check", "emergence", "in-context", "grokking", "double-descent", "sae")
LARGE = [name for name in DEFINITIONS if name not in SMALL]


def make(name: str, *options: str, corpus: Corpus = PIECES, seed: int = 0) -> list[RunConfig]:
    """The runs of a design with settings as typed."""
    definition = DEFINITIONS[name].make
    return definition(corpus, seed=seed, **parse_settings(name, definition, list(options)))


def n(run: RunConfig) -> int:
    return parameters(run.model)["total"]


def but(run: RunConfig, **more: object) -> RunConfig:
    return dataclasses.replace(run, **more)


@pytest.mark.parametrize("corpus", [BYTES, PIECES], ids=lambda c: c.name)
@pytest.mark.parametrize("name", LARGE)
def test_every_design_has_distinct_runs_that_meet_what_was_planned(name: str, corpus: Corpus) -> None:
    runs = make(name, corpus=corpus)
    assert len({run_id(run) for run in runs}) == len(runs) >= 5
    for run in runs:
        assert run.model.width % 128 == run.model.mlp_width % 128 == run.model.vocab % 128 == 0
        assert run.model.head in (64, 128) and run.model.vocab - corpus.vocab in range(128)
        assert 0 < run.optimizer.lr < 0.05
        if run.budget is not None:
            assert abs(run_flops(run)["total"] / run.budget - 1) <= 0.01
    assert not {run_id(run) for run in runs} & {run_id(run) for run in make(name, corpus=corpus, seed=1)}


@pytest.mark.parametrize("corpus", [BYTES, PIECES], ids=lambda c: c.name)
def test_an_isoflop_grid_reaches_past_a_thousand_million_with_its_minima_inside(corpus: Corpus) -> None:
    """Whoever of the published is right: the best of the sizes run is never the first or the last."""
    runs = make("isoflop", corpus=corpus)
    budgets = sorted({run.budget for run in runs if run.budget})
    assert budgets[0] <= 1e17 and PRIORS["besiroglu"].best_size(budgets[-1]) > 1e9
    for law in PRIORS.values():
        for flops in budgets:
            group = sorted((run for run in runs if run.budget == flops), key=n)
            assert len(group) >= 3
            losses = chinchilla.chinchilla(
                np.array([n(run) for run in group], float), np.array([run.tokens for run in group], float),
                E=1.8, A=law.A, B=law.B, alpha=law.alpha, beta=law.beta,
            )  # fmt: skip
            assert 0 < np.argmin(losses) < len(group) - 1, (flops, [f"{n(run):.3g}" for run in group])


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_s_best_size_is_where_its_loss_is_least(name: str) -> None:
    law = PRIORS[name]
    N = np.geomspace(1e6, 1e12, 200_001)
    losses = chinchilla.chinchilla(N, 1e21 / (6 * N), E=1.7, A=law.A, B=law.B, alpha=law.alpha, beta=law.beta)
    assert N[np.argmin(losses)] == pytest.approx(law.best_size(1e21), rel=1e-3)


@pytest.mark.parametrize("name", ["isoflop", "ladder", "kaplan-d", "epochs"])
def test_lengths_of_one_size_are_branches_of_one_trunk(name: str) -> None:
    runs = make(name)
    trunks = {(run.model, run.data.unique) for run in runs}
    assert len({prefix_id(run, run.schedule.warmup) for run in runs}) == len(trunks) < len(runs)
    assert plan_cost(plan_sweep(runs, PIECES))["flops_saved"] > 0


def test_a_ladder_is_of_5_to_640_tokens_a_parameter() -> None:
    ratios = {round(run.tokens / n(run), 1) for run in make("ladder", "widths=256,512")}
    assert min(ratios) == pytest.approx(5, rel=0.01) and max(ratios) == pytest.approx(640, rel=0.01)


def test_epochs_read_a_part_of_the_text_so_many_times() -> None:
    runs = make("epochs", "unique=1e8,4e8", "times=1,4,44", "widths=256")
    read = {(round(run.data.unique / 1e8), round(run.tokens / run.data.unique)) for run in runs if run.data.unique}
    assert read == {(u, t) for u in (1, 4) for t in (1, 4, 44)}
    whole = make("epochs", "unique=0.5", "times=1", "widths=256")[0]
    assert whole.data.unique == pytest.approx(PIECES.train / 2, rel=1e-3)
    with pytest.raises(SweepError, match=r"--set unique=1e\+12: pieces has 30,000,000,000 training tokens"):
        make("epochs", "unique=1e12")


def test_kaplan_s_sweeps_change_one_thing() -> None:
    in_n, in_d, in_c = make("kaplan-n"), make("kaplan-d"), make("kaplan-c")
    assert max(run.tokens for run in in_n) / min(run.tokens for run in in_n) < 1.02
    assert max(map(n, in_n)) / min(map(n, in_n)) > 20
    assert len({run.model for run in in_d}) == 1 and max(r.tokens for r in in_d) > 50 * min(r.tokens for r in in_d)
    assert len({run.budget for run in in_c}) >= 8
    shapes = make("kaplan-shape")
    sizes = [nonembedding_parameters(run.model) for run in shapes]
    aspects = [run.model.width / run.model.layers for run in shapes]
    assert max(sizes) / min(sizes) < 1.02 and max(aspects) / min(aspects) > 30
    assert len({(run.tokens, run.batch, run.optimizer, run.schedule) for run in shapes}) == 1


def test_batches_run_long_enough_to_reach_one_loss_and_can_end_anywhere() -> None:
    runs = make("kaplan-batch", "rates=1")
    base = next(run for run in runs if run.batch == rules.batch_sequences(2048, runs[0].model, rules.TPU))
    for run in runs:
        assert run.schedule.name == "constant" and run.eval.every * 30 < run.steps
        factor = run.batch / base.batch
        assert run.tokens / base.tokens == pytest.approx(max(1.0, (1 + factor) / 2), rel=0.01)
        assert run.optimizer.lr / base.optimizer.lr == pytest.approx(math.sqrt(factor), rel=0.01)


def test_brackets_lie_about_the_rule_and_seeds_differ_in_nothing_else() -> None:
    rates = make("lr-bracket", "widths=256")
    assert len({but(run, optimizer=but(run.optimizer, lr=1.0)) for run in rates}) == 1
    middle = rules.learning_rate(rates[0].model, rules.TPU)
    np.testing.assert_allclose([run.optimizer.lr / middle for run in rates], FACTORS, rtol=0.01)
    batches = make("batch-bracket", "widths=512")
    assert len({run.batch for run in batches}) == 5
    assert max(r.tokens for r in batches) / min(r.tokens for r in batches) < 1.01
    seeds = make("seeds", "widths=256", "count=4")
    assert {run.seed for run in seeds} == {0, 1, 2, 3} and len({but(run, seed=0) for run in seeds}) == 1


def test_a_comparison_gives_both_the_same_sizes_budgets_and_rules() -> None:
    runs = make("compare", "change=mlp=gelu")
    own_values, published_values = runs[::2], runs[1::2]
    for a, b in zip(own_values, published_values, strict=True):
        assert (a.model.mlp, b.model.mlp) == ("swiglu", "gelu") and a.budget == b.budget
        assert n(b) == pytest.approx(n(a), rel=0.03) and a.batch == b.batch and a.optimizer == b.optimizer
    with pytest.raises(SweepError, match="already has these values"):
        make("compare", "change=mlp=swiglu")
    with pytest.raises(SweepError, match=r"change=mpl=gelu: .*unknown field mpl"):
        make("compare", "change=mpl=gelu")


def test_rates_and_batches_can_be_muP_or_a_law_of_one_s_own() -> None:
    runs = make("isoflop", "mup=256", "budgets=1e18")
    assert len({run.optimizer.lr for run in runs}) == 1 < len({run.model.width for run in runs})
    assert all(run.model.parametrization == "mup" and run.model.base_width == 256 for run in runs)
    for run in make("isoflop", "lr=0.002@1e8^-0.5", "batch=65536@1e8^0.5", "length=1024", "budgets=1e18"):
        assert run.optimizer.lr == pytest.approx(0.002 * (n(run) / 1e8) ** -0.5, rel=0.05)
        assert run.batch * 1024 == pytest.approx(65536 * (n(run) / 1e8) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("budget=1e18", "settings of isoflop are budgets=1e.17,3e.17.* sizes=7 prior=besiroglu rules=tpu|small"),
        ("budgets", "--set budgets: settings of isoflop are"),
        ("budgets=many", "must be a number from 1e-30 to 1e.30, such as 1e.17"),
        ("budgets=1e17,0", "--set budgets=1e17,0: must be a number from"),
        ("sizes=2.5", "must be a whole number"),
        ("prior=mine", "must be one of besiroglu, hoffmann"),
        ("rules=gpu", "must be one of tpu, small"),
        ("lr=0.1@1e8", "LEVEL@N.EXPONENT"),
        ("lr=-1", "must be a number or a power law"),
        ("lr=0.1@1e8^-40", "an exponent from -4 to 4"),
        ("batch=1e25@1^4", "--set batch=1e25@1.4: is .* parameters: must be from 1e-30 to 1e.30"),
        ("mup=0", "--set mup=0: must be a whole number from 1 to 1e.07"),
        ("mup=100", "width 100: must be a multiple of the smallest head size, 64"),
    ],
)
def test_a_setting_that_is_not_one_says_what_is_allowed(options: str, message: str) -> None:
    with pytest.raises(SweepError, match=message):
        make("isoflop", options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ladder", "widths=100", "width 100: must be a multiple of the smallest head size, 64"),
        ("ladder", "ratios=0", "--set ratios=0: must be a number from 1e-30 to 1e.30, such as 5"),
        ("kaplan-d", "tokens=0", "--set tokens=0: must be a number from"),
        ("seeds", "ratio=0", "--set ratio=0: must be a number from"),
        ("seeds", "count=10001", "--set count=10001: must be a whole number from 1 to 10000, such as 5"),
        ("epochs", "times=1,0", "--set times=1,0: must be a number from"),
        ("kaplan-shape", "widths=0", "--set widths=0: must be a whole number from 1 to 1e.07"),
        ("kaplan-shape", "width=640000", "width 384: no number of layers up to 10,000 gives"),
        ("compare", "change=layers=1e9", "--set change=layers=1e9: 1,000,000,000 layers: at most 10,000 are allowed"),
    ],
)
def test_a_figure_that_no_run_can_have_is_one_line_that_says_which_can(name: str, options: str, message: str) -> None:
    with pytest.raises(SweepError, match=message) as refused:
        make(name, options)
    assert "\n" not in str(refused.value)


def test_a_weight_decay_may_be_none() -> None:
    assert {run.optimizer.weight_decay for run in make("grokking", "decays=0,1", corpus=EQUATIONS)} == {0.0, 1.0}


def test_a_laptop_s_grid_is_the_same_design_by_small_rules() -> None:
    runs = make("isoflop", "rules=small", "budgets=2e11,4e11", "sizes=3", corpus=BYTES)
    assert {run.batch * run.data.length for run in runs} == {rules.BATCH_TOKENS} and len(runs) == 6


FIGURES = (
    "0", "-0", "-1", "1", "3", "100", "1e-30", "1e30", "9999999", "10000000", "1e9", "nan", "inf", "1e400", "1e-400",
    "5e-324", "9" * 5000, "²", "many", "", ",", "1,1", "1@0^0", "1@1^nan", "1@1e8^-400", "1e30@1e-30^4", "1e308",
)  # fmt: skip
CHANGES = (
    "layers=1e9", "layers=9999", "heads=0", "heads=3", "mlp_width=-1", "width=1e400", "width=1e12", "mlp=", "mlp", "=",
    "experts=1e12", "window=0", "vocab=nan", "norm_eps=1e400", "positions=learned,position_length=16", "mlp=[", "a.b=1",
)  # fmt: skip
SETTINGS = [
    (name, key)
    for name, of in DEFINITIONS.items()
    for taken in [inspect.signature(of.make).parameters]
    for key in [key for key in taken if key not in NOT_SETTINGS] + list(RULE_SETTINGS) * ("rule_set" in taken)
]


@pytest.mark.parametrize(("name", "key"), SETTINGS)
def test_whatever_a_setting_is_given_ends_in_a_plan_or_in_one_line_and_soon(name: str, key: str) -> None:
    corpus = {"grokking": EQUATIONS, "double-descent": LABELS}.get(name, BYTES)
    for value in (*FIGURES, *CHANGES) if key == "change" else FIGURES:
        start = time.process_time()
        try:
            built = plan_sweep(make(name, f"{key}={value}", corpus=corpus), corpus)
            assert as_text(built) and json.dumps(as_json(built), allow_nan=False)
        except (SweepError, ConfigError) as error:
            assert "\n" not in str(error)
        assert time.process_time() - start < 3, value[:20]  # seconds, of which a busy machine makes more
