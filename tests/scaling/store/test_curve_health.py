"""Health of a sweep: curves of sizes coincide once normalised, and what leaves their band is named, nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scaling.config.run import RunConfig
from scaling.config.schedule import ScheduleConfig
from scaling.store.curves.collapse import BINS, Trajectory, collapse_spread, irreducible_loss, normalised
from scaling.store.curves.deviations import across_sizes, same_size
from scaling.store.curves.health import RunState, chosen_runs, comparable_groups, sweep_health
from scaling.store.curves.repeats import LEAST_SPACING, WINDOW, repeated_batches
from scaling.store.curves.schedules import rate_deviations
from tests.support.fits import PUBLISHED
from tests.support.records import config

SUPERCOLLAPSE = PUBLISHED / "supercollapse2025"
published = pytest.mark.skipif(not SUPERCOLLAPSE.is_dir(), reason="the curves of Qiu 2025 are not at ../shared/data")
STEPS, L0 = 400, 0.8
NOISE = np.random.default_rng(0).standard_normal(4 * STEPS) * 0.08  # difficulty of each batch


def trajectory(N: float, D: float, steps: int = STEPS, factor: float = 1.0, seed: int = 0) -> Trajectory:
    """A run of a sweep whose curves collapse, with batches that are the same at each step of all runs."""
    step = np.arange(1, steps + 1)
    share = step / steps
    end = L0 + 3.0 * N**-0.1 + 20.0 * D**-0.25
    own = 0.01 * np.random.default_rng(int(N + D) + seed).standard_normal(steps)
    loss = (L0 + (end - L0) * factor * (0.6 + 0.4 * (share + 0.02) ** -0.4)) * np.exp(NOISE[:steps] + own)
    return Trajectory(f"{N:g}-{D:g}-{steps}-{factor:g}", N, D, steps, step, share, loss, size=f"{N}", batches="b",
                      decay_share=0.0)  # fmt: skip


def ladder() -> list[Trajectory]:
    return [trajectory(N, r * N, round(STEPS * r / 20)) for N in (1e4, 2e4, 5e4, 1e5, 2e5) for r in (14, 20, 28)]


@published
def test_published_curves_collapse_below_the_noise_of_seeds_with_the_published_irreducible_loss() -> None:
    # shared/data/supercollapse2025/SOURCE.md: L0 of chess .5428 and .5465; spread at half of the compute .0017 and
    # .0023 against a noise of .0032: with a decay, below it (supercollapse), as Qiu 2025 find
    ends = pd.read_csv(SUPERCOLLAPSE / "ends.csv").drop_duplicates(["set", "params", "seed"])
    curves = pd.read_csv(SUPERCOLLAPSE / "curves.csv").drop_duplicates(["set", "params", "seed", "step"])
    spread = {}
    for name, expected in (("chess", 0.5428), ("chess_const", 0.5465)):
        runs = ends[ends["set"] == name]
        means = runs.groupby("params")[["C_end", "L_end"]].mean()
        irreducible = irreducible_loss(means["L_end"].to_numpy(), means["C_end"].to_numpy())
        assert irreducible == pytest.approx(expected, abs=6e-5)
        halves = []
        for run in runs.itertuples():
            curve = curves[(curves["set"] == name) & (curves["params"] == run.params) & (curves["seed"] == run.seed)]
            half = np.interp(0.5 * run.C_end, curve["compute"], curve["test_loss"])
            halves.append(normalised(np.array([half]), run.L_end, irreducible))
        spread[name] = float(collapse_spread(np.array(halves))[0])
        seeds = runs.groupby("params")["L_end"].std() / (means["L_end"] - irreducible)
        noise = float(seeds.mean())
    assert spread["chess"] == pytest.approx(0.0017, abs=6e-5) and spread["chess"] < 0.0030 < noise < 0.0033
    assert spread["chess_const"] == pytest.approx(0.0024, abs=6e-5)


@published
@pytest.mark.parametrize("name", ["chess", "chess_const"])
def test_no_published_run_of_a_tuned_sweep_leaves_the_band_of_the_others(name: str) -> None:
    ends = pd.read_csv(SUPERCOLLAPSE / "ends.csv").drop_duplicates(["set", "params", "seed"])
    curves = pd.read_csv(SUPERCOLLAPSE / "curves.csv").drop_duplicates(["set", "params", "seed", "step"])
    runs = []
    for end in ends[ends["set"] == name].itertuples():
        rows = curves[(curves["set"] == name) & (curves["params"] == end.params) & (curves["seed"] == end.seed)]
        rows = rows[rows["compute"] <= 1.0001 * end.C_end].sort_values("step")
        share, step = (rows["compute"] / end.C_end).to_numpy(), rows["step"].to_numpy()
        steps = round(step[-1] / share[-1])
        runs.append(Trajectory(str(end), end.params, end.C_end / end.params, steps, step, share,
                               rows["test_loss"].to_numpy()))  # fmt: skip
    deviations = [deviation for run in runs if (deviation := across_sizes(run, runs)) is not None]
    assert len(deviations) == 40 and all(deviation.first_bin is None for deviation in deviations)


def test_the_irreducible_loss_of_known_laws_is_recovered() -> None:
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e6, 1e10, 5)))
    assert irreducible_loss(0.7 + 30 * N**-0.35 + 90 * D**-0.3, N, D) == pytest.approx(0.7, abs=0.01)
    C = np.geomspace(1e15, 1e20, 8)
    assert irreducible_loss(1.3 + 700 * C**-0.15, C) == pytest.approx(1.3, abs=1e-3)
    assert irreducible_loss(np.array([2.0, 1.9]), np.array([1e5, 1e6])) == 0.0  # too few
    assert irreducible_loss(1.0 + 1e-9 * C**0.3, C) == 0.0  # rises


def test_normalised_curves_of_a_sweep_coincide_and_end_at_one() -> None:
    runs = ladder()
    end = np.array([run.binned[-1] for run in runs])
    N, D = (np.array([getattr(run, letter) for run in runs]) for letter in "ND")
    irreducible = irreducible_loss(end, N, D)
    curves = np.array([normalised(run.binned, run.binned[-1], irreducible) for run in runs])
    assert np.all(curves[:, -1] == 1.0)
    raw = np.array([run.binned for run in runs])
    assert collapse_spread(curves[:, 5:])[:10].max() < collapse_spread(raw[:, 5:])[:10].min()


def test_a_run_with_a_raised_loss_leaves_the_band_before_half_of_its_steps_and_no_other_does() -> None:
    runs = ladder()
    raised = replace(trajectory(7e4, 1.4e6, factor=1.35), is_finished=False)
    half = slice(0, STEPS // 2)
    raised = replace(raised, step=raised.step[half], share=raised.share[half], loss=raised.loss[half])
    deviation = across_sizes(raised, runs)
    assert deviation is not None and deviation.first_bin is not None and deviation.first_bin < BINS / 2
    for run in runs:
        for other in (across_sizes(run, runs), same_size(run, runs)):
            assert other is None or other.first_bin is None
    assert across_sizes(replace(raised, N=1e7), runs) is None  # beyond the sizes of the others
    assert across_sizes(raised, runs[:3]) is None  # too few to tell


def test_runs_of_one_size_are_compared_at_equal_steps_with_the_noise_of_their_batches_cancelled() -> None:
    step = np.arange(1, STEPS + 1)

    def of_length(steps: int, factor: np.ndarray | float = 1.0, batches: str = "b") -> Trajectory:
        loss = 2.0 * (step[:steps] + 5.0) ** -0.1 * np.exp(NOISE[:steps]) * factor
        return Trajectory(f"{steps}{batches}{np.mean(factor)}", 1e4, 1e5 * steps, steps, step[:steps],
                          step[:steps] / steps, loss, size="s", batches=batches, decay_share=0.8)  # fmt: skip

    siblings = [of_length(300), of_length(350), of_length(400)]
    slow = of_length(360, 1 + 0.015 * (step[:360] > 100))
    deviation = same_size(slow, siblings)
    assert deviation is not None and deviation.first_bin is not None
    assert 100 < slow.last_steps[deviation.first_bin] <= 150
    assert np.isnan(deviation.value[17:]).all()  # in the decay, lengths differ
    assert all((found := same_size(run, siblings)) is None or found.first_bin is None for run in siblings)
    assert same_size(slow, siblings[:1]) is None and same_size(of_length(360, batches="c"), siblings) is None


@pytest.mark.parametrize("first", [80, 200, 700])
def test_batches_that_are_read_again_are_found_after_a_window_with_their_distance(first: int) -> None:
    random = np.random.default_rng(first)
    order = np.arange(1200)
    order[first:] -= first
    loss = 3.0 * (np.arange(1200) + 10.0) ** -0.1 * np.exp(NOISE[order] + 0.015 * random.standard_normal(1200))
    found = repeated_batches(loss)
    assert found is not None and found[1] == first
    assert first + 0.8 * WINDOW <= found[0] + 1 <= first + WINDOW + 2 * LEAST_SPACING


def test_neither_noise_nor_oscillations_nor_trends_are_batches_that_are_read_again() -> None:
    step = np.arange(1500)
    trend = 3.0 * (step + 10.0) ** -0.1
    for period in (2, 3, 7, 20, 90):
        assert repeated_batches(trend * (1 + 0.05 * np.sin(2 * np.pi * step / period))) is None
    found = [
        repeated_batches(trend * np.exp(0.05 * np.random.default_rng(i).standard_t(3, len(step)))) for i in range(20)
    ]
    assert found == [None] * 20 and repeated_batches(trend) is None and repeated_batches(trend[:3]) is None


def test_a_sweep_of_settings_compares_equal_settings_and_one_odd_run_is_compared_with_all() -> None:
    def state(width: int, lr: float) -> RunState:
        run = config(width, 100)
        return RunState(f"{width} {lr}", replace(run, optimizer=replace(run.optimizer, lr=lr)), float(width), "done")

    crossed = [state(width, lr) for width in (16, 32, 64) for lr in (1e-3, 4e-3)]
    assert len(set(comparable_groups(crossed).values())) == 2
    odd = [state(width, 1e-3) for width in (16, 32, 64)] + [state(32, 4e-3)]
    assert len(set(comparable_groups(odd).values())) == 1


def sweep_of(name: str = "wsd", **fields: object) -> list[RunConfig]:
    """Configs of a sweep with warm-ups of 3% to 27% of the steps, as of a demo whose warm-up grows with the size."""
    return [
        replace(config(width, steps), schedule=ScheduleConfig(name=name, warmup=3 * width // 2, **fields))  # type: ignore[arg-type]
        for width in (8, 16, 32, 64) for steps in (360, 480, 600)
    ]  # fmt: skip


WRONG = {"cosine": {"name": "cosine"}, "linear": {"name": "linear"}, "decay from a fifth": {"decay": 0.8}}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_schedule_unlike_that_of_the_others_is_named_before_half_of_the_steps_and_before_the_loss_shows_it(
    wrong: dict[str, object],
) -> None:
    configs = sweep_of()
    planted = configs[5]  # width 16, warm-up 24 of 600 steps
    configs[5] = replace(planted, schedule=replace(planted.schedule, **wrong))  # type: ignore[arg-type]
    runs, states = [], []
    for i, each in enumerate(configs):
        run = trajectory(1e4 * each.model.width, 64.0 * each.tokens, each.steps)
        part = slice(0, each.steps // 2 if i == 5 else None)
        runs.append(replace(run, step=run.step[part], share=run.share[part], loss=run.loss[part], is_finished=i != 5))
        states.append(RunState(run.run_id, each, run.N, "running" if i == 5 else "done"))
    departures = sweep_health(runs, states).departures
    assert list(departures) == [runs[5].run_id]
    departure = departures[runs[5].run_id]
    assert 60 < departure.step <= 180 and departure.share == departure.step / 600
    assert departure.reason.startswith("its learning rate is 0.") and "of the other runs 1.00" in departure.reason
    early = slice(0, 60)
    runs[5] = replace(runs[5], step=runs[5].step[early], share=runs[5].share[early], loss=runs[5].loss[early])
    assert sweep_health(runs, states).departures == {}  # a tenth done: nothing differs yet


def odd_ones(configs: list[RunConfig]) -> list[str]:
    return list(rate_deviations({str(i): config for i, config in enumerate(configs)}))


@pytest.mark.parametrize("name", ["wsd", "cosine", "linear", "inverse-sqrt", "constant"])
def test_warm_ups_of_other_shares_and_small_differences_are_no_other_schedule(name: str) -> None:
    configs = sweep_of(name)
    assert odd_ones(configs) == []
    configs[3] = replace(configs[3], schedule=ScheduleConfig(name=name, warmup_tokens=40_000))
    assert odd_ones(configs) == []
    assert odd_ones([*configs, replace(configs[0], schedule=ScheduleConfig(name="wsd", decay=0.5))]) == ["12"]


def test_the_expected_rate_of_a_run_has_its_own_warm_up() -> None:
    configs = {str(i): config for i, config in enumerate(sweep_of())}
    long = configs["9"] = replace(configs["9"], schedule=ScheduleConfig(name="linear", warmup=180))  # of 360 steps
    deviation = rate_deviations(configs)["9"]
    np.testing.assert_allclose(deviation.expected[:10], deviation.rate[:10])
    assert deviation.rate[0] == pytest.approx(0.1) and deviation.expected[10] == 1.0 > deviation.rate[10]
    assert deviation.first_bin(long.steps) == 11 and deviation.first_bin(long.steps // 2) is None


def test_schedules_that_a_sweep_varies_or_that_few_runs_have_name_no_run() -> None:
    sound, other = sweep_of(), sweep_of("cosine")
    assert odd_ones([*sound, *other]) == odd_ones([*sound, *other[:3]]) == []
    assert odd_ones([*sound, *other[:2]]) == ["12", "13"]
    third, fourth = sweep_of("linear"), sweep_of("constant")
    assert odd_ones([*sound, *other[:2], *third[:2], *fourth[:2]]) == []  # 12 of 17 others agree
    decays = [replace(c, schedule=replace(c.schedule, decay=0.1 + 0.05 * i)) for i, c in enumerate(sound)]
    assert odd_ones(decays) == []  # each run has a schedule of its own
    assert odd_ones([*sound[:3], other[0]]) == [] and odd_ones([*sound[:4], other[0]]) == ["4"]


def test_what_is_not_known_is_absent_and_runs_under_way_are_compared_first() -> None:
    states = ["done"] * 100 + ["running"] * 3 + ["waiting", "diverged"]
    chosen = chosen_runs(states, 10)
    assert chosen[:3] == [100, 101, 102] and len(chosen) == 10 and max(chosen[3:]) < 100
    run = trajectory(1e4, 2e5)
    alone = sweep_health([run], [RunState(run.run_id, config(16, 400), 1e4, "done")]).to_json()
    assert alone["compared"] == 0 and alone["left_band"] == [] and "irreducible_loss" not in alone


def test_runs_of_two_sizes_and_lengths_have_no_irreducible_loss() -> None:
    assert irreducible_loss(np.array([3.0, 2.0, 2.5])) == 0.0
