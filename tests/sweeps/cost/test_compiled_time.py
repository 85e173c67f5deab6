"""The compiler's own time of a step: kept by shape, and heeded where a model is too small for its slice."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.config.run import override
from scaling.config.validation import to_dict
from scaling.store.record import Store
from sweeps.cost.compiled_time import extra_step_seconds, step_seconds, write_step_seconds
from sweeps.cost.quote import priced_slice, quote_flops
from sweeps.launching.launch import write_sweep
from sweeps.monitoring.status import status
from sweeps.planning.plan import plan_cost, plan_sweep
from tests.support.sweeps import CORPUS, small_grid


def test_a_time_is_of_the_shape_whatever_the_rate_the_seed_or_the_length_of_the_run(tmp_path: Path) -> None:
    store, config = Store(tmp_path), small_grid()[0]
    assert step_seconds(store, "v5e-16") == {}
    write_step_seconds(store, "v5e-16", [(to_dict(config), 2e-5)])
    write_step_seconds(store, "v5e-16", [(to_dict(override(config, ["model.width=32", "model.heads=4"])), 3e-5)])
    on = priced_slice("v5e-16")
    assert sorted(step_seconds(store, "v5e-16").values()) == [2e-5, 3e-5] and step_seconds(store, "v5p-32") == {}
    for change, same in (
        ("optimizer.lr=0.1", 1),
        ("seed=7", 1),
        ("steps=9000", 1),
        ("batch=16", 0),
        ("data.length=32", 0),
    ):
        result = extra_step_seconds(store, [(to_dict(override(config, [change])), 1000, 0.0)], on, 0.4)
        assert result == pytest.approx(same * 1000 * 2e-5), change


def test_a_run_is_quoted_by_its_flops_or_by_its_steps_whichever_take_longer(tmp_path: Path) -> None:
    store, planned, on = Store(tmp_path), plan_sweep(small_grid(), CORPUS), priced_slice("v5e-16")
    write_sweep(store, "grid", planned)
    flops, rate = plan_cost(planned)["flops"], on.chips * on.peak_flops * 0.4
    plain = quote_flops(flops, on, 0.4)
    assert plain["seconds"] == flops / rate and "seconds_beyond_mfu" not in plain
    assert status(store, "grid", on=on)["cost"]["quote"] == plain
    write_step_seconds(
        store, "v5e-16", [(to_dict(run.config), 1e-4) for run in planned.runs] + [(to_dict(small_grid()[-1]), 1e-15)]
    )
    slow = [
        run for run in planned.runs if run.config.model != small_grid()[-1].model
    ]  # the others' steps are too quick to matter
    changes = sum(1e-4 * (run.config.steps - run.from_step) for run in slow)
    changes += sum(run.flops_to_run for run in planned.runs if run not in slow) / rate
    quoted = status(store, "grid", on=on)["cost"]["quote"]
    assert quoted["seconds"] == pytest.approx(changes) and quoted["usd"] == pytest.approx(changes / 3600 * 16 * on.usd)
