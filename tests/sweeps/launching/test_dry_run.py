"""`launch --dry-run`: jobs, devices, memory, cost and warnings, and the files that would be submitted."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, load, run_id
from scaling.counting.counts import total_parameters
from scaling.distributed.sharding import mesh_shape
from scaling.store.record import Store
from sweeps.cost.memory import Devices, data_devices, device_bytes
from sweeps.cost.quote import priced_slice
from sweeps.engines import ENGINES, local
from sweeps.launching.dry_run import LaunchPreview, Pricing, preview, write_files
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep
from sweeps.planning.rules import TPU
from tests.support.commands import call_command
from tests.support.sweeps import CORPUS, SMALL_GRID_IDS, TRAINER, small_grid

MARKOV = "markov:vocab=64,tokens=20000"
OPTIONS: dict[str, dict[str, str]] = {
    "local": {},
    "slurm": {"gpus": "4", "cpus": "8", "nodes": "2"},
    "ray": {"gpus": "2", "cpus": "8"},
    "gke": {"topology": "v5e-4", "image": "registry/scaling:1", "bucket": "gs://my-runs"},
    "skypilot": {"topology": "v5e-8", "bucket": "gs://my-runs"},
}


def shown(engine: str, store: Path, configs: list[RunConfig], corpus: Corpus = CORPUS, **changes: Any) -> LaunchPreview:
    options = LaunchOptions(engine=engine, engine_options=OPTIONS[engine], **changes)
    return preview(Store(store), "s", plan_sweep(configs, corpus), options, Pricing())


@pytest.mark.parametrize(
    ("engine", "devices"),
    [
        ("local", "of this machine, no accelerator; 1 process at a time"),
        ("slurm", "2 nodes, each with 4 GPUs and 8 CPUs; time limit 24:00:00"),
        ("ray", "2 GPUs and 8 CPUs"),
        ("gke", "4 TPU chips (v5e-4, spot) on 1 host, with all CPUs of each host"),
        ("skypilot", "8 TPU chips (v5e-8, spot) on 1 host"),
    ],
)
def test_a_dry_run_says_what_serves_a_run_and_writes_what_would_be_submitted(
    engine: str, devices: str, tmp_path: Path
) -> None:
    changes = {"workers": 1} if engine == "local" else {}
    result = shown(engine, tmp_path / "store", small_grid(), **changes)
    (served,) = [line for line in result.summary.splitlines() if line.startswith("each run: ")]
    assert devices in served, served
    assert "FLOPs" in result.summary and "memory: the largest run" in result.summary and "cost" in result.summary
    write_files(tmp_path / "dry", result.files())
    configs = sorted((tmp_path / "dry" / "configs").iterdir())
    assert sorted(SMALL_GRID_IDS) == [path.stem for path in configs] == [run_id(load(path)) for path in configs]
    names = [name for file in result.jobs.files for _, run_ids in file.jobs() for name in run_ids]
    assert sorted(names) == sorted(SMALL_GRID_IDS) and (tmp_path / "dry" / "summary.txt").read_text().startswith(
        "dry run"
    )
    for file in result.jobs.files:
        written = (tmp_path / "dry" / "jobs" / file.name).read_text()
        assert written.strip() == file.text.strip() and written.strip() in result.jobs.as_text()
    commands = (tmp_path / "dry" / "jobs" / "commands.txt").read_text()
    assert all(line in commands for file in result.jobs.files for line in file.commands)
    assert not (tmp_path / "store" / "runs").exists() and set(OPTIONS) == set(ENGINES)


def test_the_local_engine_starts_the_commands_of_its_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    popen = local.subprocess.Popen
    monkeypatch.setattr(local.subprocess, "Popen", lambda args, **kw: (started.append(args), popen(args, **kw))[1])
    result = shown("local", tmp_path, small_grid(), command=TRAINER)
    assert launch(Store(tmp_path), "s", small_grid(), CORPUS, LaunchOptions(command=TRAINER)) == 0
    assert [shlex.split(file.text) for file in result.jobs.files] == started


@pytest.mark.parametrize("fields", [{}, {"tensor": 2}, {"fsdp": 4}, {"data": 2, "fsdp": 2}, {"expert": 2, "tensor": 2}])
def test_the_devices_that_divide_a_batch_are_those_of_the_mesh(fields: dict[str, int]) -> None:
    data, fsdp, _, expert = mesh_shape(Placement(**fields), 16)
    assert data_devices(Placement(**fields), 16) == data * fsdp * expert


def test_runs_that_would_be_refused_or_need_too_much_memory_are_warned_of(tmp_path: Path) -> None:
    large = [
        rules.run_at_width(4096, CORPUS, length=2048, steps=100_000, budget=None, rule_set=TPU),
        dataclasses.replace(
            rules.run_at_width(128, CORPUS, length=2048, steps=10_000, budget=None, rule_set=TPU), batch=4
        ),
    ]
    text = shown("skypilot", tmp_path, large, dataclasses.replace(CORPUS, train=10**12)).summary
    assert (
        "WARNING: 1 of 2 runs would be refused: batch 4 must be a multiple of the 8 devices that divide it: --place ten"
        in text
    )
    assert "does not fit" in text and "WARNING: 1 of 2 runs need more memory than a device has" in text
    spread = shown("skypilot", tmp_path, large[1:], placement={"tensor": 2}).summary
    assert "refused" not in spread and ": fits (an estimate" in spread
    assert (
        "the placement needs 16 devices, and a run has 8"
        in shown("skypilot", tmp_path, large, placement={"fsdp": 16}).summary
    )


def test_repeated_tokens_and_missing_gpus_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "slurm", {})
    text = shown("slurm", tmp_path, small_grid(), dataclasses.replace(CORPUS, train=10_000)).summary
    assert "WARNING: no GPU is requested, so that runs train on CPUs: see --option gpus=1" in text
    assert "WARNING: cpus is not set" in text and "WARNING: 4 of 4 runs read the corpus more than 4 times" in text
    for gres, gpus in {"gpu:2": "2 GPUs", "gpu:a100:4,license:1": "4 GPUs", "license:1": "no GPU"}.items():
        monkeypatch.setitem(OPTIONS, "slurm", {"gres": gres})
        assert f"each run: {gpus} and" in shown("slurm", tmp_path, small_grid()).summary


def test_the_memory_of_gpus_is_that_of_their_kind_or_what_the_machine_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS, "slurm", {"gres": "gpu:H100:4"})
    assert "GB per device of 80 GB: fits" in shown("slurm", tmp_path, small_grid()).summary
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '143771\\n143771\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    text = shown("local", tmp_path / "s", small_grid()).summary
    assert "each run: 2 GPUs of this machine" in text and "GB per device of 151 GB: fits" in text


def test_a_quote_has_the_time_of_each_job_and_the_price_of_all(tmp_path: Path) -> None:
    options = LaunchOptions(engine="gke", engine_options=OPTIONS["gke"])
    plan = plan_sweep(small_grid(), CORPUS)
    text = preview(Store(tmp_path), "s", plan, options, Pricing(priced_slice("v5e-4", spot=True), 0.2)).summary
    assert (
        "time at 20% MFU" in text and "cost, jobs one after the other: on v5e-4 (4 chips, spot) at 20% of peak" in text
    )


def test_memory_is_state_divided_over_shards_and_activations_of_a_device_s_sequences() -> None:
    run = rules.run_at_width(512, CORPUS, length=2048, steps=10_000, budget=None, rule_set=TPU)
    one, four = Devices(1, True, None), Devices(4, True, None)
    alone, divided = device_bytes(run, Placement(), one), device_bytes(run, Placement(fsdp=4), four)
    state = 16 * total_parameters(run.model)  # parameter, gradient and two moments in float32
    assert state < alone and device_bytes(run, Placement(), one) - device_bytes(
        dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, name="lion")), Placement(), one
    ) == pytest.approx(state / 4)
    assert divided < alone / 3 and device_bytes(run, Placement(remat="full"), one) < alone
    assert device_bytes(run, Placement(), Devices(1, False, None)) > alone  # float32 activations and attention scores


@pytest.mark.slow
def test_the_estimated_memory_is_near_what_xla_takes() -> None:
    from scaling.aot.worker import step_facts
    from scaling.distributed import sharding
    from scaling.program.build import lower_step, program_shape

    run, placement = rules.run_at_width(64, CORPUS, length=128, steps=10_000, budget=None), Placement(data=1)
    step = lower_step(program_shape(run, placement, (1, 1, 1, 1)), sharding.make_mesh(placement)).compile()
    ratio = device_bytes(run, placement, Devices(1, False, None)) / step_facts(step)["memory"]["total"]
    assert 1.0 <= ratio <= 1.5


def test_the_command_writes_into_a_new_folder_alone(tmp_path: Path) -> None:
    words = ["sweeps", "launch", "ladder", "--store", tmp_path / "s", "--corpus", MARKOV, "--engine", "skypilot"]
    words += ["--set", "rules=small", "widths=128", "ratios=20", "optimizer.weight_decay=0.05,0.1"]
    words += ["--option", "topology=v5e-8", "--option", "bucket=gs://my-runs", "--dry-run", tmp_path / "dry"]
    done = call_command(*words)
    assert done.returncode == 0, done.stderr
    assert (
        "set: optimizer.weight_decay = 0.05, 0.1" in done.stdout
        and "cost, jobs one after the other: on v5e-8" in done.stdout
    )
    (first, second) = sorted((tmp_path / "dry" / "jobs").glob("*.yaml"))
    assert json.loads(first.read_text())["resources"]["accelerators"] == "tpu-v5litepod-8:1" and second
    again = call_command(*words)
    assert (again.returncode, again.stderr) == (2, f"--dry-run {tmp_path / 'dry'}: must be a new or empty folder\n")
    printed = call_command(*words[:-1])
    assert printed.returncode == 0 and '"accelerators"' in printed.stdout and not (tmp_path / "s" / "runs").exists()
