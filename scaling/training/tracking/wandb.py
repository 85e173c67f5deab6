"""A run's curve for Weights & Biases, if asked: one run there for a run here, its sweep the group.

Offline, what would be sent is in STORE/wandb/offline-run-*, for `wandb sync STORE/wandb/offline-run-*` to send later.
A run that goes on after a stop goes on there too: online as wandb remembers it, offline as a second folder of the
same id, which begins where the run was restored. Points are those of TensorBoard
(scaling/training/tracking/tensorboard.py).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import ConfigError, to_dict
from scaling.store.record import Record, Store
from scaling.training.tracking.tensorboard import TAGS, Rows, is_point, title

PROJECT = "scaling"  # unless WANDB_PROJECT names another


def check(placement: Placement) -> None:
    """ConfigError where it is asked for and cannot be: no package, or no key to log in with."""
    if not placement.wandb:
        return
    asked = f"Placement.wandb = {placement.wandb!r}"
    if importlib.util.find_spec("wandb") is None:
        raise ConfigError(f"{asked}: the package wandb is not installed: pip install 'scaling[wandb]', or leave it out")
    if placement.wandb == "online":
        import wandb

        try:
            wandb.login()
        except wandb.errors.UsageError as error:
            raise ConfigError(f"{asked}: {' '.join(str(error).split())} Or take 'offline'") from None


class Wandb:
    """The run at Weights & Biases of a run under way."""

    def __init__(self, store: Store, config: RunConfig, online: bool, rows: Rows, sweep: str | None) -> None:
        """Begins or resumes it with the rows so far that it has not; nothing on hosts that leave it to another."""
        self.config, self.store, self.run = config, store, None
        if not store.writes:
            return
        import wandb

        name = run_id(config)
        again = not online and any((store.root / "wandb").glob(f"offline-run-*-{name}"))
        store.root.mkdir(parents=True, exist_ok=True)
        # neither the terminal, nor the machine's load, nor the code is wandb's to keep: the record has what is needed
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        )
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(store.root), id=name, name=title(config),
            group=sweep, config=to_dict(config), mode="online" if online else "offline",
            resume="allow" if online else None, reinit="create_new", settings=quiet,
        )  # fmt: skip
        self.next = self.run.step if online else rows[-1]["step"] + 1 if again and rows else 0
        self.add(rows)

    def add(self, rows: Rows) -> None:
        """New rows of the curve; those that are there already are left out."""
        for row in rows:
            if self.run is not None and row["step"] >= self.next and is_point(self.config, row):
                self.run.log(figures(row), step=int(row["step"]))

    def end(self, record: Record) -> None:
        """The final figures; what has stopped is marked as preempted, what failed as failed."""
        if self.run is None:
            return
        self.run.summary.update({"status": record.status, **{f"final/{k}": v for k, v in record.final.items()}})
        if record.status == "stopped":
            self.run.mark_preempting()
        folder = Path(self.run.dir).parent
        self.run.finish(exit_code={"done": 0, "diverged": 0, "stopped": 75}.get(record.status, 1))
        for path in folder.rglob("*"):
            if path.is_file():
                self.store.put(path)


def figures(row: dict[str, float]) -> dict[str, Any]:
    """A row's figures under their tags."""
    return {TAGS.get(name, name): value for name, value in row.items() if name != "step"}
