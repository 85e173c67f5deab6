"""Health of a sweep while it runs: which runs leave the band of the others, at which step, and why.

`collapse` has the normalised curves; `deviations`, `repeats` and `schedules` have the comparisons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.config.run import RunConfig
from scaling.store.curves.collapse import BINS, Trajectory, irreducible_loss, normalised
from scaling.store.curves.deviations import Deviation, across_sizes, expected_losses, same_size
from scaling.store.curves.repeats import repeated_batches
from scaling.store.curves.schedules import RateDeviation, rate_deviations

MAX_RUNS = 64  # largest number of runs that are compared: those under way, then finished ones, evenly spread
COMPARED = ("done", "running", "stopped", "interrupted", "failed")  # a diverged run has left every band
SETTINGS = ("optimizer", "schedule", "batch", "data", "precision", "init")  # of a run, beside its size and length


@dataclass(frozen=True)
class RunState:
    """A run whose curve is compared: its id, config, parameters N and state."""

    run_id: str
    config: RunConfig
    N: float
    state: str


@dataclass(frozen=True)
class Departure:
    """That a run left the band: at which step, after which share of its tokens, and how, as text."""

    step: int
    share: float
    reason: str


@dataclass(frozen=True)
class RunHealth:
    """The curve of a run relative to the others.

    Attributes:
        run_id: Id of the run.
        N: Parameters.
        state: State of the run.
        normalised: (L - L0) / (L_end - L0) at the end of each BINS-th of the tokens (K,), with the measured end loss of
            a finished run and the expected one of another; NaN where not known.
        deviation: ln(measured / expected) across sizes (K,); NaN where it is not compared.
        limit: Half width of the band of `deviation` (K,).
        departure: The first time it left a band; None if it has not.
        is_compared: Whether there were enough runs to compare it with.
    """

    run_id: str
    N: float
    state: str
    normalised: np.ndarray
    deviation: np.ndarray
    limit: np.ndarray
    departure: Departure | None
    is_compared: bool


@dataclass(frozen=True)
class SweepHealth:
    """Health of a sweep.

    Attributes:
        irreducible: Estimate of the irreducible loss L0 of the training loss, nats per token; 0 if it is not known.
        finished: Finished runs whose curves give the band.
        runs: Runs with a learning curve.
    """

    irreducible: float
    finished: int
    runs: tuple[RunHealth, ...]

    @property
    def departures(self) -> dict[str, Departure]:
        """The runs that left the band, by run id."""
        return {run.run_id: run.departure for run in self.runs if run.departure is not None}

    def to_json(self) -> dict[str, Any]:
        """Returns the health in types of JSON; what is not known is absent."""
        left = [{"run_id": run_id, **vars(departure)} for run_id, departure in self.departures.items()]
        curves = {run.run_id: _known(run.normalised) for run in self.runs}
        compared = sum(run.is_compared for run in self.runs)
        out: dict[str, Any] = {"finished": self.finished, "compared": compared, "left_band": left}
        if self.irreducible:
            out["irreducible_loss"] = round(self.irreducible, 5)
        return {**out, "normalised": {run_id: points for run_id, points in curves.items() if points}}


def _known(values: np.ndarray) -> list[list[float]]:
    """The known values of a curve, as [share, value]."""
    return [[(k + 1) / BINS, round(float(values[k]), 5)] for k in np.flatnonzero(np.isfinite(values))]


def trajectory_of_rows(rows: Sequence[Mapping[str, float]], run: RunState) -> Trajectory | None:
    """Returns the learning curve of a run, None if it has none, or one of another kind than a loss per token.

    Args:
        rows: Rows of its curve (`Store.curve`).
        run: The run.
    """
    config = run.config
    if config.data.objective == "examples" or not config.steps:
        return None
    points = [(row["step"], row["loss"]) for row in rows if row.get("loss", 0.0) > 0]
    if not points:
        return None
    step, loss = np.array(points, dtype=np.float64).T
    has_ramp = bool(config.schedule.batch_ramp)
    share = np.array([config.token_share(int(s)) for s in step]) if has_ramp else np.minimum(step / config.steps, 1.0)
    texts = config.identity_texts
    return Trajectory(
        run.run_id, run.N, float(config.tokens), config.steps, step.astype(np.int64), share, loss,
        is_finished=run.state == "done",
        size=texts["model"],
        batches=f"{texts['data']} {config.seed} {config.batch} {config.schedule.batch_ramp}",
        decay_share=config.decay_start / config.steps,
    )  # fmt: skip


def chosen_runs(states: Sequence[str], most: int = MAX_RUNS) -> list[int]:
    """Returns the indices of at most `most` runs to compare.

    First come those that have not ended, at most half of them, then finished ones, evenly spread.

    Args:
        states: States of the runs of a sweep.
        most: Largest number of runs.
    """
    first = [i for i, state in enumerate(states) if state in COMPARED and state != "done"][: most // 2]
    done = [i for i, state in enumerate(states) if state == "done"]
    count = min(len(done), most - len(first))
    return first + [done[i * len(done) // count] for i in range(count)]


def comparable_groups(runs: Sequence[RunState]) -> dict[str, str]:
    """Returns a key for each run: runs of one key are compared.

    A sweep that varies settings (learning rate, data, ...) at most of its sizes compares settings, and only runs with
    the same settings are comparable. A single run with other settings is compared with all: they may be a mistake.

    Args:
        runs: Runs of a sweep.
    """
    settings = {run.run_id: _settings(run.config) for run in runs}
    cells: dict[tuple[str, int], set[str]] = {}
    for run in runs:
        cells.setdefault((run.config.identity_texts["model"], run.config.steps), set()).add(settings[run.run_id])
    varied = sum(len(values) > 1 for values in cells.values())
    return settings if 2 * varied > len(cells) else dict.fromkeys(settings, "")


def _settings(config: RunConfig) -> str:
    texts = config.identity_texts
    return " ".join(f"{name}={texts[name]}" for name in SETTINGS if name in texts)


def sweep_health(trajectories: Sequence[Trajectory], runs: Sequence[RunState]) -> SweepHealth:
    """Compares the curves of the runs of a sweep.

    Args:
        trajectories: Their learning curves.
        runs: Their states; only those with a trajectory are compared.
    """
    by_id = {run.run_id: run for run in runs}
    known = {trajectory.run_id for trajectory in trajectories}
    groups = comparable_groups([run for run in runs if run.run_id in known])
    finished = [t for t in trajectories if t.is_finished and np.isfinite(t.binned).all()]
    irreducible = _irreducible(finished, groups)
    rates = rate_deviations({t.run_id: by_id[t.run_id].config for t in trajectories})  # of all, whatever their settings
    healths = []
    for run in trajectories:
        group = [other for other in trajectories if groups[other.run_id] == groups[run.run_id]]
        references = [other for other in finished if groups[other.run_id] == groups[run.run_id]]
        across = across_sizes(run, references)
        siblings = same_size(run, group)
        healths.append(
            RunHealth(
                run.run_id, run.N, by_id[run.run_id].state,
                normalised=_normalised(run, references, irreducible),
                deviation=np.full(BINS, np.nan) if across is None else across.value,
                limit=np.full(BINS, np.nan) if across is None else across.limit,
                departure=first_departure(run, (across, siblings), rates.get(run.run_id), len(references)),
                is_compared=across is not None or siblings is not None,
            )
        )  # fmt: skip
    return SweepHealth(irreducible, len(finished), tuple(healths))


def _irreducible(finished: Sequence[Trajectory], groups: dict[str, str]) -> float:
    """L0 of the largest group of comparable finished runs."""
    if not finished:
        return 0.0
    largest = Counter(groups[run.run_id] for run in finished).most_common(1)[0][0]
    chosen = [run for run in finished if groups[run.run_id] == largest]
    ends, N, D = np.array([(run.binned[-1], run.N, run.D) for run in chosen]).T
    return irreducible_loss(ends, *(scale for scale in (N, D) if len(np.unique(scale)) > 2))


def _normalised(run: Trajectory, references: Sequence[Trajectory], irreducible: float) -> np.ndarray:
    end = float(run.binned[-1])
    if not (run.is_finished and np.isfinite(end)):
        band = expected_losses(run, references)
        end = np.nan if band is None else float(np.exp(band[0][-1]))
    return normalised(run.binned, end, irreducible) if end > irreducible else np.full(BINS, np.nan)


def first_departure(
    run: Trajectory,
    losses: tuple[Deviation | None, Deviation | None],
    rates: RateDeviation | None,
    references: int,
) -> Departure | None:
    """Returns the earliest departure of a run by any of the comparisons, None if it is inside of all bands.

    Args:
        run: The run.
        losses: Its deviations from other sizes, and from runs of the same size.
        rates: Its learning rates, if it has another schedule than the other runs.
        references: Number of finished runs of the band.
    """
    found = []
    names = f"the band of {references} finished runs", "runs of its size that read the same batches"
    for deviation, others in zip(losses, names, strict=True):
        if deviation is not None and (k := deviation.first_bin) is not None:
            side = "above" if deviation.value[k] > 0 else "below"
            text = f"loss {abs(np.expm1(deviation.value[k])):.1%} {side} {others}"
            found.append(Departure(int(run.last_steps[k]), (k + 1) / BINS, text))
    if rates is not None and (k := rates.first_bin(int(run.step[-1]))) is not None:
        text = (
            f"its learning rate is {rates.rate[k]:.2f} of its peak, "
            f"by the schedule of the other runs {rates.expected[k]:.2f}"
        )
        found.append(Departure(int(rates.step[k]), float(rates.share[k]), text))
    if (repeat := repeated_batches(run.loss)) is not None:
        index, distance = repeat
        steps = int(run.step[index] - run.step[index - distance])
        text = f"its losses repeat those of {steps:,} steps before: it reads the same batches again"
        found.append(Departure(int(run.step[index]), float(run.share[index]), text))
    return min(found, key=lambda departure: departure.step, default=None)
