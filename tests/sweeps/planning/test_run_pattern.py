"""New runs by the pattern of the existing ones, where no known rules made them."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.counting.counts import total_parameters
from sweeps.definitions import DEFINITIONS
from sweeps.errors import SweepError
from sweeps.planning.corpus import Corpus
from sweeps.planning.fields import apply_fields, parse_fields
from sweeps.planning.run_pattern import TrainedRun, find_pattern
from sweeps.planning.settings import parse_settings

CORPUS = Corpus(name="a text", tokens="ab" * 32, vocab=257, train=10**10)


def own_run(width: int, ratio: float = 20.0, **changes: Any) -> RunConfig:
    """A run by rules of nobody: depth width/16, heads of 32, rate N^-0.25, warm-up a hundredth of the steps."""
    model = ModelConfig(vocab=257, width=width, layers=width // 16, heads=width // 32, mlp_width=4 * width, mlp="gelu")
    N = total_parameters(model)
    steps = round(ratio * N / (32 * 256))
    return RunConfig(**{
        "model": model, "data": DataConfig(tokens=CORPUS.tokens, length=256, corpus=CORPUS.name), "batch": 32,
        "optimizer": OptimizerConfig(lr=float(f"{0.05 * N**-0.25:.2g}")), "steps": steps,
        "schedule": ScheduleConfig(name="cosine", warmup=round(0.01 * steps)), **changes,
    })  # fmt: skip


def trained(configs: list[RunConfig]) -> list[TrainedRun]:
    return [TrainedRun(config, 2.0) for config in configs]


def test_a_run_of_a_new_size_and_length_follows_the_pattern() -> None:
    pattern = find_pattern(trained([own_run(w, r) for w, r in itertools.product((128, 256, 512), (20, 80))]), {})
    expected = own_run(384, 160.0)
    made = pattern.run_for_tokens(384, expected.tokens, seed=7)
    assert (made.model, made.batch, made.seed, made.data) == (expected.model, 32, 7, expected.data)
    assert made.optimizer.lr == pytest.approx(expected.optimizer.lr, rel=0.05)
    assert made.schedule.warmup == pytest.approx(expected.schedule.warmup, rel=0.02) and made.schedule.name == "cosine"
    assert made.tokens == pytest.approx(expected.tokens, rel=0.01)
    sizes = pattern.sizes((64, 100, 384))  # heads of 32 do not divide 100
    assert sorted(sizes.values()) == [64, 128, 256, 384, 512]
    assert "model.layers = 0.0625 · width" in pattern.notes[0] and "optimizer.lr = 0.05" in pattern.notes[0].replace(
        "0.0503", "0.05"
    )


@pytest.mark.parametrize(
    "settings",
    [
        ["lr=0.003@1e6^-0.3", "batch=16384"],
        ["batch=2048@1e5^0.5", "rules=small"],
        ["rules=small", "mup=32"],
        ["rules=tpu"],
        ["rules=small", "optimizer.weight_decay=0.3", "schedule.name=linear"],
    ],
    ids=" ".join,
)
def test_runs_by_rules_are_reproduced_by_their_pattern(settings: list[str]) -> None:
    make = DEFINITIONS["ladder"].make
    fields = parse_fields([text for text in settings if "." in text.partition("=")[0]])
    own = parse_settings("ladder", make, [text for text in settings if "." not in text.partition("=")[0]])
    everything = apply_fields(make(CORPUS, **own, widths=(128, 256, 384, 512, 768), ratios=(20.0, 80.0)), fields)
    seen = [run for run in everything if run.model.width != 384]
    pattern = find_pattern(trained(seen), {})
    for run in everything:
        made = pattern.run_for_tokens(run.model.width, run.tokens, run.seed)
        assert total_parameters(made.model) == pytest.approx(total_parameters(run.model), rel=0.015)
        assert made.model.layers == run.model.layers and made.optimizer.lr == pytest.approx(run.optimizer.lr, rel=0.08)
        assert made.batch == pytest.approx(run.batch, rel=0.08) or made.batch in (run.batch / 2, run.batch * 2)
        assert dataclasses.replace(made.optimizer, lr=1.0) == dataclasses.replace(run.optimizer, lr=1.0)
        tokens = [each.schedule.warmup * each.batch for each in (made, run)]
        assert tokens[0] == pytest.approx(tokens[1], rel=0.6) and made.schedule.name == run.schedule.name


def test_of_several_rates_per_size_that_of_the_best_run_is_taken() -> None:
    runs = []
    for width, factor in itertools.product((128, 256, 512), (0.5, 1.0, 2.0)):
        run = own_run(width)
        rated = dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, lr=run.optimizer.lr * factor))
        runs.append(TrainedRun(rated, 2.0 + abs(factor - 1)))
    pattern = find_pattern(runs, {})
    assert pattern.notes[1] == "of 9 runs the best of each model and length is taken (3)"
    made = pattern.run_for_tokens(384, own_run(384).tokens, 0)
    assert made.optimizer.lr == pytest.approx(own_run(384).optimizer.lr, rel=0.05)


def test_of_a_grid_over_sizes_the_combination_with_the_lowest_mean_loss_is_taken() -> None:
    runs = []
    for i, (width, decay) in enumerate(itertools.product((128, 256, 512), (0.05, 0.3))):
        changed = apply_fields([own_run(width)], parse_fields([f"optimizer.weight_decay={decay}"]))
        runs.append(TrainedRun(changed[0], 2.0 + (0.1 if decay == 0.05 else 0.0) + (-0.15 if i == 0 else 0.0)))
    pattern = find_pattern(runs, {})  # at width 128 the other value is the better one
    assert pattern.notes[1] == "of 2 combinations optimizer.weight_decay = 0.3 is taken, which has the lowest mean loss"
    assert pattern.run_for_tokens(384, own_run(384).tokens, 0).optimizer.weight_decay == 0.3


def test_runs_of_one_width_that_differ_in_depth_have_depth_as_their_size() -> None:
    runs = [
        dataclasses.replace(own_run(128), model=dataclasses.replace(own_run(128).model, layers=n)) for n in (2, 4, 8)
    ]
    pattern = find_pattern(trained(runs), {})
    assert pattern.axis == "layers" and set(pattern.sizes((1, 2, 16)).values()) == {1, 2, 4, 8, 16}
    assert pattern.run_for_tokens(16, runs[0].tokens, 0).model.layers == 16


def test_what_has_no_pattern_must_be_given() -> None:
    rates = itertools.cycle((0.001, 0.02, 0.003, 0.015, 0.002))
    runs = [own_run(w, r) for w, r in itertools.product((128, 256, 384, 512), (20, 40, 80))]
    runs = [
        dataclasses.replace(run, optimizer=OptimizerConfig(lr=rate)) for run, rate in zip(runs, rates, strict=False)
    ]
    with pytest.raises(
        SweepError, match=r"optimizer.lr of the store's runs follows no pattern in width, N, D or steps"
    ):
        find_pattern(trained(runs), {})
    made = find_pattern(trained(runs), {"optimizer.lr": 0.004}).run_for_tokens(640, own_run(640).tokens, 0)
    assert made.optimizer.lr == 0.004 and made.model == own_run(640).model


def test_a_value_of_each_size_without_a_law_is_interpolated_between_sizes() -> None:
    rates = {128: 0.001, 256: 0.02, 512: 0.005}
    runs = [dataclasses.replace(own_run(w), optimizer=OptimizerConfig(lr=rate)) for w, rate in rates.items()]
    pattern = find_pattern(trained(runs), {})
    made = {w: pattern.run_for_tokens(w, own_run(w).tokens, 0).optimizer.lr for w in (64, 128, 384, 512, 1024)}
    assert made == {64: 0.001, 128: 0.001, 384: 0.00889, 512: 0.005, 1024: 0.005}
    assert "optimizer.lr = 0.001 to 0.02 by width, interpolated" in pattern.notes[0]


def test_the_most_common_architecture_is_taken_and_named() -> None:
    runs = [own_run(width) for width in (128, 256, 512)]
    other = dataclasses.replace(runs[0], model=dataclasses.replace(runs[0].model, mlp="relu", mlp_width=100))
    pattern = find_pattern(trained([other, *runs]), {})
    assert (
        pattern.example.model.mlp == "gelu" and "3 of 4 runs have the most common model.mlp = gelu" in pattern.notes[1]
    )
