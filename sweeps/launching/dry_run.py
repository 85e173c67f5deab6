"""`launch --dry-run`: what a launch would submit, on which devices, at what cost, and what is wrong with it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config.os_errors import reason_of_os_error
from scaling.config.placement import Placement
from scaling.config.run import dumps
from scaling.store.record import Store
from sweeps.cost import quote
from sweeps.cost.compiled_time import quote_plan
from sweeps.cost.memory import SPARE_SHARE, data_devices, device_bytes, mesh_devices
from sweeps.cost.pace import estimate_seconds_left, measure_pace
from sweeps.cost.quote import PricedSlice
from sweeps.engines import get_engine
from sweeps.engines.submission import DryRun, Submission, code_files, code_paths
from sweeps.errors import SweepError
from sweeps.format import duration, short_count, text_table
from sweeps.launching.engine import check_options, train_command, used_code
from sweeps.launching.options import LOCAL, LaunchOptions
from sweeps.launching.resources import Resources, run_resources
from sweeps.planning.plan import Plan, PlannedRun, epochs, plan_notes

GIGABYTE = 1e9
# Repeated data is worth nearly as much as new data up to four epochs (Muennighoff 2023, figure 1).
MANY_EPOCHS = 4
JOB_COLUMNS = ["job", "runs", "width × layers", "FLOPs", "epochs", "GB per device"]


@dataclass(frozen=True)
class LaunchPreview:
    """What a launch would do.

    Attributes:
        summary: Runs, jobs, devices, memory, cost and warnings, as text.
        jobs: The engine's files and commands.
        plan: The plan of the sweep.
        placement: Fields of the placement that differ from the defaults.
        code: Files of the user that the launch would copy to the store: path there -> content.
    """

    summary: str
    jobs: DryRun
    plan: Plan
    placement: Mapping[str, Any]
    code: Mapping[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """Returns the files of the preview: path in the folder -> contents."""
        files = {"summary.txt": self.summary + "\n", "jobs/commands.txt": self.jobs.commands()}
        files |= {f"jobs/{file.name}": file.text.rstrip("\n") + "\n" for file in self.jobs.files}
        files |= {f"configs/{run.run_id}.json": dumps(run.config) for run in self.plan.remaining}
        files |= {path: content.decode("utf-8", "replace") for path, content in self.code.items()}
        return files | ({"placement.json": json.dumps(dict(self.placement), indent=1) + "\n"} if self.placement else {})


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files to a new or empty folder, which is removed if one of them cannot be written.

    Args:
        folder: The folder.
        files: Contents by path in the folder.

    Raises:
        SweepError: The folder has files, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SweepError(f"--dry-run {folder}: must be a new or empty folder")
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SweepError(f"--dry-run {folder}: cannot be written: {reason_of_os_error(error)}") from None


@dataclass(frozen=True)
class Pricing:
    """How the time and dollars of jobs are quoted.

    Attributes:
        priced: The slice on which each job runs; None: unknown.
        mfu: Model FLOPs utilisation.
    """

    priced: PricedSlice | None = None
    mfu: float = 0.4


def preview(store: Store, sweep: str, sweep_plan: Plan, options: LaunchOptions, pricing: Pricing) -> LaunchPreview:
    """Returns what `launch` would submit for the remaining runs of a sweep; nothing is written or started.

    Args:
        store: The store with the runs.
        sweep: Name of the sweep in the store.
        sweep_plan: Its plan.
        options: The launch options.
        pricing: How time and dollars are quoted.

    Raises:
        SweepError: The options are not allowed.
    """
    engine_options = check_options(store, options)
    runs = sweep_plan.remaining
    code = used_code([run.config for run in runs], options)
    submission = Submission(
        store=store, sweep=sweep, configs=[run.config for run in runs], starts=[run.shared_step for run in runs],
        command=train_command(options), code=code_paths(code),
    )  # fmt: skip
    engine_dry_run = get_engine(options.engine).dry_run
    if engine_dry_run is None:
        raise SweepError(f"--dry-run: engine {options.engine} has no dry_run: remove --dry-run, or write the function")
    jobs = engine_dry_run(submission, engine_options) if runs else DryRun(())
    resources = run_resources(engine_options, getattr(engine_options, "workers", 1))
    placement = Placement(**options.placement)
    lines = [
        f"dry run of sweep {sweep} on engine {options.engine}: nothing is submitted",
        *_run_lines(sweep_plan),
    ]
    if runs:
        lines += [
            f"each run: {resources.text}", "",
            job_table(jobs, sweep_plan, placement, resources, pricing), "",
            memory_line(runs, placement, resources),
            *_cost_lines(sweep_plan, store, options, pricing),
            *(f"WARNING: {text}" for text in warnings(sweep_plan, placement, resources, options)),
        ]  # fmt: skip
    return LaunchPreview("\n".join(lines), jobs, sweep_plan, options.placement, code_files(code))


def _run_lines(plan: Plan) -> list[str]:
    totals = plan.totals
    saved = f"{short_count(totals['flops_saved'])} FLOPs, {totals['flops_saved'] / totals['flops_separate']:.0%}"
    longest = max(epochs(run, plan) for run in plan.runs)
    corpus = (
        f"corpus {plan.corpus.name}: {plan.corpus.train:,} training tokens, {longest:.2f} epochs in the longest run"
    )
    return [
        f"{totals['runs']} runs of {totals['shapes']} shapes: {short_count(totals['flops'])} FLOPs, "
        f"{short_count(totals['tokens'])} tokens (shared prefixes save {saved}); "
        f"remaining: {short_count(totals['flops_left'])} FLOPs",
        *([corpus] if longest <= 1 else []),  # else one of the notes
        *plan_notes(plan),
    ]


def job_table(jobs: DryRun, plan: Plan, placement: Placement, resources: Resources, pricing: Pricing) -> str:
    """Returns a table with a row per job.

    Args:
        jobs: The engine's files.
        plan: The plan.
        placement: How runs are laid out.
        resources: The devices of a run.
        pricing: How times are quoted.
    """
    priced, mfu = pricing.priced, pricing.mfu
    by_id = {run.run_id: run for run in plan.runs}
    rows = []
    for name, run_ids in ((name, run_ids) for file in jobs.files for name, run_ids in file.jobs()):
        runs = [by_id[run_id] for run_id in run_ids]
        shapes = sorted({(run.config.model.width, sum(run.config.model.depths)) for run in runs})
        flops = sum(run.flops_to_run for run in runs)
        needed = max(device_bytes(run.config, placement, resources.devices) for run in runs)
        shape = " × ".join(map(str, shapes[-1])) + (f" and {len(shapes) - 1} more" if len(shapes) > 1 else "")
        row = [name, str(len(runs)), shape, short_count(flops), f"{max(epochs(run, plan) for run in runs):.3g}"]
        time = [duration(quote.quote_flops(flops, priced, mfu)["seconds"])] if priced else []
        rows.append([*row, gigabytes_text(needed), *time])
    return text_table([*JOB_COLUMNS, *([f"time at {mfu:.0%} MFU"] if priced else [])], rows)


def gigabytes_text(size: float) -> str:
    """Returns bytes as gigabytes, in two digits."""
    return f"{size / GIGABYTE:,.0f}" if size >= 10 * GIGABYTE else f"{size / GIGABYTE:.2g}"


def memory_line(runs: Sequence[PlannedRun], placement: Placement, resources: Resources) -> str:
    """Returns the verdict on the memory of the run that needs most.

    Args:
        runs: The runs.
        placement: How they are laid out.
        resources: The devices of a run.
    """
    devices = resources.devices
    needed, run = max(((device_bytes(run.config, placement, devices), run) for run in runs), key=lambda pair: pair[0])
    model = f"width {run.config.model.width}, {sum(run.config.model.depths)} layers, batch {run.config.batch}"
    estimate = f"memory: the largest run ({model}) needs about {gigabytes_text(needed)} GB per device"
    if devices.memory is None:
        return f"{estimate}; compare it with that of your devices, which is not known here"
    verdict = "fits" if needed <= (1 - SPARE_SHARE) * devices.memory else "may not fit"
    verdict = verdict if needed <= devices.memory else "does not fit"
    return f"{estimate} of {devices.memory / GIGABYTE:.3g} GB: {verdict} (an estimate" + (
        "; `check NAME --topology` compiles the step)" if devices.accelerator else ")"
    )


def _cost_lines(plan: Plan, store: Store, options: LaunchOptions, pricing: Pricing) -> list[str]:
    if pricing.priced:
        quoted = quote_plan(plan, store, pricing.priced, pricing.mfu)
        return [f"cost, jobs one after the other: {quote.as_text(quoted)}"]
    pace = measure_pace(store) if options.engine == LOCAL else None
    if pace and plan.totals["flops_left"]:
        seconds = estimate_seconds_left(plan, pace)
        return [f"cost: about {duration(seconds)} at the speed of the runs in the store"]
    return ["cost: no estimate of time or dollars: add --slice, " + (
        "or launch once: later estimates use the runs in the store" if options.engine == LOCAL
        else "such as h100-8 with --prices FILE if the table lacks your devices"
    )]  # fmt: skip


def warnings(plan: Plan, placement: Placement, resources: Resources, options: LaunchOptions) -> list[str]:
    """Returns what would fail, or is probably not intended.

    Args:
        plan: The plan.
        placement: How runs are laid out.
        resources: The devices of a run.
        options: The launch options.
    """
    out, runs, devices = list(resources.warnings), plan.remaining, resources.devices
    needed = mesh_devices(placement)
    if needed > devices.count:
        out.append(f"the placement needs {needed} devices, and a run has {devices.count}: change --place")
    else:
        rows = data_devices(placement, devices.count)
        uneven = sorted({run.config.batch for run in runs if run.config.batch % rows})
        if uneven:
            count = sum(run.config.batch in uneven for run in runs)
            tensor = placement.tensor * rows // math.gcd(rows, *uneven)
            out.append(
                f"{count} of {len(runs)} runs would be refused: batch {', '.join(map(str, uneven[:5]))} must be a "
                f"multiple of the {rows} devices that divide it: --place tensor={tensor}, fewer chips or another batch"
            )
    too_large = [
        run for run in runs if devices.memory and device_bytes(run.config, placement, devices) > devices.memory
    ]
    if too_large:
        out.append(
            f"{len(too_large)} of {len(runs)} runs need more memory than a device has, by the estimate: "
            "--place fsdp=N, remat=full or microbatch=N"
        )
    repeated = sum(epochs(run, plan) > MANY_EPOCHS for run in runs)
    if repeated:
        out.append(
            f"{repeated} of {len(runs)} runs read the corpus more than {MANY_EPOCHS} times, from where on repeated "
            "tokens are worth less: prepare more text"
        )
    cap = options.caps.flops
    if cap is not None and plan.totals["flops_left"] > cap:
        out.append(f"the remaining {short_count(plan.totals['flops_left'])} FLOPs exceed --cap-flops {cap:g}")
    return out
