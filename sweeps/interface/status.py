"""`sweeps.status`: the states, losses, errors and cost of a sweep's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.store.open import open_store
from scaling.store.record import Store
from sweeps.cost.quote import PricedSlice
from sweeps.cost.spend import DEFAULT_MFU
from sweeps.definitions import sweep_name
from sweeps.format import short_count
from sweeps.interface.html import html_table
from sweeps.monitoring import status as monitoring
from sweeps.monitoring.terminal import as_text, cost_lines
from sweeps.monitoring.watch import sweep_ended

if TYPE_CHECKING:
    import pandas as pd

HTML_COLUMNS = ["run", "state", "width", "layers", "N", "D", "C", "step", "loss", "error"]


@dataclass(frozen=True, repr=False)
class SweepStatus:
    """The state of a sweep at one time. `print` shows it as `python -m sweeps status` does; a notebook shows a table.

    Attributes:
        data: The status as JSON types, as `status --json` prints it.
    """

    data: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs by state: done, running, waiting, stopped, interrupted, diverged, failed.

        `damaged` counts runs with damaged records and `unknown` the states of newer versions; both are absent without
        such runs.
        """
        return dict(self.data["counts"])

    @property
    def cost(self) -> dict[str, Any]:
        """FLOPs planned, done, spent and left; hours and seconds left if known."""
        return dict(self.data["cost"])

    @property
    def machine(self) -> dict[str, Any]:
        """Utilisation, goodput, wall time by part and peak memory of the runs together; empty if nothing is known."""
        return dict(self.data["machine"])

    @property
    def health(self) -> dict[str, Any]:
        """Learning curves normalised by their end, and `left_band`, the runs that left the band of the others.

        Empty before any run has a curve.
        """
        return dict(self.data["health"])

    @property
    def runs(self) -> Sequence[dict[str, Any]]:
        """A row for each run: run_id, state, N, D, C and, if known, loss, step, seconds left and error."""
        return list(self.data["runs"])

    @property
    def damaged(self) -> Sequence[dict[str, str]]:
        """The files that could not be used: the `path` and the `problem` of each."""
        return list(self.data["damaged"])

    @property
    def ended(self) -> bool:
        """Whether every run has ended: is done, diverged or failed."""
        return sweep_ended(self.data)

    def to_pandas(self) -> pd.DataFrame:
        """Returns a DataFrame with a row per run; a value that is not known is missing."""
        import pandas as pd  # here, because it takes 0.3 s

        hidden = ("x", "by")  # coordinates of plots
        return pd.DataFrame([{key: row[key] for key in row if key not in hidden} for row in self.runs])

    def __repr__(self) -> str:
        return f"SweepStatus({self._summary()})"

    def _summary(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        return f"{self.data['sweep']}: {counts}"

    def __str__(self) -> str:
        return as_text(self.data)

    def _repr_html_(self) -> str:
        lines = [self._summary(), *cost_lines(self.data["cost"])]
        return html_table([], [[line] for line in lines]) + html_table(HTML_COLUMNS, list(map(_cells, self.runs)))


def _cells(run: dict[str, Any]) -> list[str]:
    sizes = [short_count(run[name]) for name in ("N", "D", "C")]
    loss = run.get("loss", run.get("train_loss"))
    step = f"{run['step']:,} of {run['steps']:,}" if "step" in run else f"{run['steps']:,}"
    return [
        run["run_id"][:12], run["state"], str(run["width"]), str(run["layers"]), *sizes, step,
        "" if loss is None else f"{loss:.4f}", run.get("error", ""),
    ]  # fmt: skip


def status(
    sweep: str | Path,
    store: str | Path | Store,
    *,
    priced: PricedSlice | None = None,
    mfu: float = DEFAULT_MFU,
    cache: dict[str, Any] | None = None,
) -> SweepStatus:
    """Returns the state of a sweep that was launched. Reads the store alone: no code of the user is run.

    Args:
        sweep: Name of the sweep in the store, or the sweep as it was launched: "FILE.py:NAME", "runs/*.json".
        store: Folder or address of the store.
        priced: Slice for which time and dollars are quoted; None: no quote.
        mfu: Model FLOPs utilisation of that slice.
        cache: Rows of finished runs, filled by earlier calls, so that their records are not read again; None: no cache.

    Raises:
        SweepError: The store has no such sweep.
    """
    opened = store if isinstance(store, Store) else open_store(str(store))
    opened.fetch_results()
    return SweepStatus(monitoring.status(opened, sweep_name(str(sweep)), on=priced, mfu=mfu, cache=cache))
