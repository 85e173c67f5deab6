"""Training curves in Weights & Biases: one W&B run per run, grouped by sweep.

Offline runs are in STORE/wandb/offline-run-*; `wandb sync STORE/wandb/offline-run-*` sends them later. A resumed run
continues its W&B run: online by its id, offline in a second folder of the same id, which starts where the run was
restored. The points are those of TensorBoard (scaling/training/tracking/tensorboard.py).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling.config.exit_status import DONE, FAILED, STOPPED
from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError, to_dict
from scaling.store.origin.anonymous import is_anonymous, public_configs
from scaling.store.origin.machine import machine_alias
from scaling.store.record import Record, Store
from scaling.training.telemetry.telemetry import tracked_figures
from scaling.training.tracking.tensorboard import TAGS, Rows, is_point, title

PROJECT = "scaling"  # default of WANDB_PROJECT


def check_wandb(placement: Placement) -> None:
    """Raises ConfigError if Weights & Biases is requested but the package or the login is missing."""
    if not placement.wandb:
        return
    requested = f"Placement.wandb = {placement.wandb!r}"
    if importlib.util.find_spec("wandb") is None:
        raise ConfigError(
            f"{requested}: the package wandb is not installed: pip install 'scaling[wandb]', or remove the field"
        )
    if placement.wandb == "online":
        import wandb

        try:
            wandb.login()
        except wandb.errors.UsageError as error:
            raise ConfigError(f"{requested}: {' '.join(str(error).split())} Or use 'offline'") from None


class Wandb:
    """The W&B run of a run during training."""

    def __init__(self, store: Store, config: RunConfig, online: bool, rows: Rows, sweep: str | None) -> None:
        """Starts or resumes the W&B run and adds the missing rows; does nothing on hosts that do not write."""
        self.config, self.store, self.run, self.anonymous = config, store, None, is_anonymous(store.root)
        if not store.writes:
            return
        import wandb

        name = run_id(config)
        continues = not online and any((store.root / "wandb").glob(f"offline-run-*-{name}"))
        store.root.mkdir(parents=True, exist_ok=True)
        # no terminal output, machine statistics or code: the record has the required facts
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        )
        if self.anonymous:
            settings.host, settings.username, settings.email = machine_alias(), "user", ""
        [public] = public_configs(store.root, [config])
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(store.root), id=name, name=title(config),
            group=sweep, config=to_dict(public), mode="online" if online else "offline",
            resume="allow" if online else None, reinit="create_new", settings=settings,
        )  # fmt: skip
        self.next = self.run.step if online else rows[-1]["step"] + 1 if continues and rows else 0
        self.add(rows)

    def add(self, rows: Rows, figures: Mapping[str, float] | None = None) -> None:
        """Adds new rows, without those that W&B already has, and figures about the machine to the last of them.

        Args:
            rows: The rows.
            figures: Figures after the last row, by tag.
        """
        if self.run is None:
            return
        points = [row for row in rows if row["step"] >= self.next and is_point(self.config, row)]
        for row in points:
            self.run.log(tagged_values(row) | (dict(figures or {}) if row is points[-1] else {}), step=int(row["step"]))

    def end(self, record: Record) -> None:
        """Adds the final scores and the status; a stopped run is marked as preempted, a failed one as failed."""
        if self.run is None:
            return
        final = {f"final/{name}": value for name, value in record.final.items()}
        self.run.summary.update({"status": record.status, **final, **tracked_figures(record.about)})
        if record.status == "stopped":
            self.run.mark_preempting()
        folder = Path(self.run.dir).parent
        self.run.finish(exit_code={"done": DONE, "diverged": DONE, "stopped": STOPPED}.get(record.status, FAILED))
        if self.anonymous:  # its own logs have paths and names
            shutil.rmtree(folder / "logs", ignore_errors=True)
            for link in folder.parent.glob("debug*.log"):
                link.unlink(missing_ok=True)
        for path in folder.rglob("*"):
            if path.is_file():
                self.store.upload(path)


def tagged_values(row: dict[str, float]) -> dict[str, Any]:
    """Returns the values of a row by tag."""
    return {TAGS.get(name, name): value for name, value in row.items() if name != "step"}
