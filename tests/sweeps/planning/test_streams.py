"""Sweeps of sparse autoencoders: models first, autoencoders with their model, activations counted once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, run_id
from scaling.counting.counts import run_flops, run_parameters
from scaling.store.record import Record, Store
from sweeps.cost.compiled_time import quote_plan
from sweeps.cost.quote import priced_slice, quote_flops
from sweeps.definitions import DEFINITIONS
from sweeps.definitions.quickstart import quickstart
from sweeps.engines.trunks import runs_by_trunk
from sweeps.errors import SweepError
from sweeps.interface.plan_table import as_text
from sweeps.launching.launch import write_sweep
from sweeps.monitoring.axes import loss_curves
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text as as_status_text
from sweeps.planning.plan import execution_order, plan_cost, plan_sweep
from sweeps.planning.sharing import sharing_graph
from sweeps.planning.streams import forward_flops, streams, worker_batches
from sweeps.planning.workers import assign_runs
from tests.support.records import record_of
from tests.support.sweeps import CORPUS

SMALL = {"widths": (32, 48, 64), "latents": (128, 256), "l0": (4, 8)}


def runs(**settings: object) -> list[RunConfig]:
    return list(DEFINITIONS["sae"].make(CORPUS, **(SMALL | settings)))


def test_models_are_runs_of_quickstart_and_come_before_their_autoencoders() -> None:
    ordered = [run.config for run in plan_sweep(list(reversed(runs())), CORPUS).runs]
    position = {run_id(config): place for place, config in enumerate(ordered)}
    models = [config for config in ordered if config.sae is None]
    assert {run_id(model) for model in models} <= {run_id(run) for run in quickstart(CORPUS)}
    saes = [config for config in ordered if config.sae is not None]
    assert len(models) == 3 and len(saes) == 12
    assert all(position[config.sae.model_run] < position[run_id(config)] for config in saes)
    assert {config.sae.layer for config in saes} == {1}  # of two


def test_one_worker_trains_a_model_and_its_autoencoders_in_this_order() -> None:
    ordered = execution_order(runs())
    for groups in (assign_runs(ordered, 2), list(map(frozenset, runs_by_trunk(ordered).values()))):
        for config in ordered:
            if config.sae is not None:
                assert any({run_id(config), config.sae.model_run} <= names for names in groups)
    assert all(names[0] in {run_id(c) for c in ordered if c.sae is None} for names in runs_by_trunk(ordered).values())
    alone = [config for config in ordered if config.sae is not None]  # of models that are in the store already
    assert len(runs_by_trunk(alone)) == 3


def test_packs_are_of_models_and_streams_of_autoencoders() -> None:
    configs = execution_order(runs(kinds=("topk", "jumprelu")))
    graph = sharing_graph(configs, pack=4)
    assert [len(names) for names in graph.streams] == [8, 8, 8]
    assert not {name for names in graph.packs for name in names} & {run_id(c) for c in configs if c.sae is not None}


def test_a_plan_and_its_quote_count_one_forward_pass_of_each_model() -> None:
    plan = plan_sweep(runs(), CORPUS)
    cost, [first, *others] = plan_cost(plan), streams([run.config for run in plan.runs])
    tokens, parts = first[0].tokens, run_flops(dataclasses.replace(first[0], sae=None))
    assert len(others) == 2 and tokens == max(config.tokens for config in first)
    per_layer = sum(parts[f"{part}_forward"] for part in ("attention_projections", "attention_causal", "mlp"))
    assert forward_flops(first) == per_layer  # of both layers
    assert cost["flops_activations"] == sum(map(forward_flops, [first, *others])) == cost["flops_activations_left"]
    assert "activations: 3 streams" in as_text(plan)
    priced = priced_slice("v5e-4")
    assert quote_plan(plan, None, priced, 0.4) == quote_flops(cost["flops"] + cost["flops_activations"], priced, 0.4)


def test_models_in_the_store_are_not_trained_again(tmp_path: Path) -> None:
    store, configs = Store(tmp_path), runs()
    for config in configs:
        if config.sae is None:
            store.write(record_of(config))
    remaining = plan_sweep(configs, CORPUS, store).remaining
    assert len(remaining) == 12 and all(run.config.sae is not None for run in remaining)
    assert all(2 * run.config.model.width * run.config.sae.latents + run.config.sae.latents
               + run.config.model.width == run.N for run in remaining if run.config.sae)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (20,)}, "quickstart has widths 16, 24"),
        ({"ratio": -1}, "tokens per parameter above 0"),
        ({"l0": (4000,)}, "at most latents = 128"),
        ({"kinds": ("gated",)}, "must be one of relu, topk"),
        ({"layer": 9}, "layers 0 to 1"),
    ],
)
def test_a_bad_setting_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SweepError, match=message) as error:
        runs(**settings)
    assert "\n" not in str(error.value)


def test_packs_of_models_are_trained_before_the_autoencoders_that_read_them() -> None:
    assert worker_batches(("a", "b", "c", "s"), frozenset({"b", "c"}), ["s"]) == [("a",), ("b", "c"), ("s",)]
    assert worker_batches(("a", "s"), frozenset({"b"}), ["s"]) == [("a", "s")]  # one process
    assert worker_batches(("s",), frozenset(), ["s"]) == [("s",)]


def test_a_status_draws_autoencoders_against_latents_and_compares_the_curves_of_models_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    configs = execution_order(runs())
    write_sweep(store, "sae", plan_sweep(configs, CORPUS))
    for config in configs:
        final = {"loss": 0.1, "val_l0": config.sae.l0} if config.sae else {"loss": 2.0}
        final |= {"step": config.steps, "tokens": config.tokens}
        counts = {"params": run_parameters(config), "flops": run_flops(config)}
        store.write(Record(run_id=run_id(config), config=config, status="done", sweep="sae", final=final, **counts))
    shown = status(store, "sae")
    assert shown["axes"]["x"] == "sae.latents" and shown["axes"]["by"] == ["model.width", "sae.l0"]
    curves = loss_curves(shown["runs"])
    assert sorted(curves) == [(width, k) for width in (32, 48, 64) for k in (4, 8)]
    assert all([x for x, _ in points] == [128, 256] for points in curves.values())
    text = as_status_text(shown)
    assert "held-out squared error of autoencoders" in text and "nats" not in text
