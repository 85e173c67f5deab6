"""Runs whose learning curve leaves the band of the other runs of a sweep, before their end is known.

Two comparisons. `across_sizes`: at equal shares of the tokens, with what finished runs of other sizes and lengths lead
to expect, which needs no end loss of the run itself. `same_size`: at equal steps, with runs of the same model that read
the same batches, whose noise cancels; it is several times as sensitive and needs such runs.

Key: R reference runs, K = BINS shares of the tokens, F features, n points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.store.curves.collapse import BINS, Trajectory, bins_of

FALSE_ALARM = 0.002  # two-sided, of one share of the tokens; two successive ones are needed
FIRST_BIN = 2  # the first tenth of the tokens is not compared: warm-up has another share of each run
MIN_DOF = 2  # residual degrees of freedom from which runs are compared across sizes
QUADRATIC_RUNS = 12  # number of references from which the expected loss is quadratic in ln N and ln D
HUBER = 1.345  # residual, in standard deviations, from which a reference has less weight (Huber 1964)
REWEIGHTINGS = 6
MAX_LEVERAGE = 0.9
EXTRAPOLATION = 1.5  # ratio of N or D to the range of the references beyond which a run is not compared
MIN_SIBLINGS = 2  # runs of the same size from which a third is compared with them
# Relative difference between runs of the same size below which rounding may be the cause: a learning rate that differs
# in the seventh digit made up to 1% over a twentieth of a run (docs/pages/measurements/sweep-health.md).
LEAST_EFFECT = 0.0125
SIBLING_ERRORS = 4.0  # standard errors
SIBLING_SPREAD = 3.0  # times the differences among the others


@dataclass(frozen=True)
class Deviation:
    """Deviations of a run from what the other runs lead to expect.

    Attributes:
        value: ln(measured / expected) at each share of the tokens (K,); NaN where it is not compared.
        limit: Half width of the band at each share (K,).
    """

    value: np.ndarray
    limit: np.ndarray

    @property
    def first_bin(self) -> int | None:
        """The second of the first two successive shares that are outside of the band on the same side, or None."""
        sign = np.sign(self.value) * (np.abs(self.value) > self.limit)
        both = np.flatnonzero((sign[1:] == sign[:-1]) & (sign[1:] != 0) & np.isfinite(sign[1:]))
        return int(both[0]) + 1 if len(both) else None


def expected_losses(run: Trajectory, references: Sequence[Trajectory]) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the expected ln L of a run at each share of its tokens (K,), and the half width of the band (K,).

    At each share x, ln L(x) of the reference runs is regressed on ln N and ln D, with their squares and product from
    QUADRATIC_RUNS references on, by Huber's M-estimator. In a compute-optimal sweep this is the statement that curves
    collapse (`collapse`): L(x) is then the same function of the end loss at each size. In an isoFLOP grid, tokens per
    parameter differ and the normalised curves depend on them smoothly, which the regression allows. The band is the
    prediction interval of Student's t with the residuals of references left out one at a time.

    Args:
        run: The run; it may be one of the references, and is left out of them.
        references: Finished runs.

    Returns:
        None for too few references, or a run that is beyond their range.
    """
    others = [other for other in references if other.run_id != run.run_id]
    if not others or not _is_inside(run, others):
        return None
    sizes = np.log([[other.N, other.D] for other in others])
    middle, place = sizes.mean(0), np.log([[run.N, run.D]])
    is_quadratic = len(others) >= QUADRATIC_RUNS
    X, x = _features(sizes - middle, is_quadratic), _features(place - middle, is_quadratic)[0]
    dof = len(others) - int(np.linalg.matrix_rank(X))
    if dof < MIN_DOF:
        return None
    losses = np.log(np.array([other.binned for other in others]))
    known = np.isfinite(losses).all(0)
    expected, limit = np.full(BINS, np.nan), np.full(BINS, np.nan)
    expected[known], error = _predict(X, losses[:, known].T, x)
    limit[known] = _student(1 - FALSE_ALARM / 2, dof) * error
    return expected, limit


def across_sizes(run: Trajectory, references: Sequence[Trajectory]) -> Deviation | None:
    """Returns the deviations of a run from `expected_losses` at shares after FIRST_BIN, None without any.

    Args:
        run: The run.
        references: Finished runs.
    """
    band = expected_losses(run, references)
    if band is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(run.binned) - band[0]
    value[:FIRST_BIN] = band[1][:FIRST_BIN] = np.nan
    return Deviation(value, band[1])


def _is_inside(run: Trajectory, others: Sequence[Trajectory]) -> bool:
    ranges = ((run.N, [other.N for other in others]), (run.D, [other.D for other in others]))
    return all(min(x) / EXTRAPOLATION <= value <= max(x) * EXTRAPOLATION for value, x in ranges)


def _features(logs: np.ndarray, is_quadratic: bool) -> np.ndarray:
    a, b = logs.T
    columns = [np.ones_like(a), a, b] + ([a * a, a * b, b * b] if is_quadratic else [])
    return np.stack(columns, -1)


def _predict(X: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Huber's regression at each share.

    Args:
        X: Features of the references (R, F).
        y: ln L of the references at each share (K, R).
        x: Features of the run (F,).

    Returns:
        The prediction for the run (K,), and the standard error of a new run there (K,).
    """
    weight = np.ones_like(y)
    for _ in range(REWEIGHTINGS):
        weighted = X * weight[..., None]  # (K, R, F)
        inverse = np.linalg.pinv(weighted.swapaxes(1, 2) @ X, rcond=1e-10, hermitian=True)
        beta = (inverse @ (weighted.swapaxes(1, 2) @ y[..., None]))[..., 0]
        leverage = np.clip(np.sum((X @ inverse) * X, -1) * weight, 0.0, MAX_LEVERAGE)
        residual = (y - beta @ X.T) / (1 - leverage)
        scale = np.maximum(1.4826 * np.median(np.abs(residual), -1, keepdims=True), 1e-9)
        weight = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(residual), 1e-300))
    mean_square = np.sum(weight * residual**2, -1) / np.sum(weight, -1)
    return beta @ x, np.sqrt(mean_square * (1 + (inverse @ x) @ x))


def _student(probability: float, dof: int) -> float:
    from scipy.special import stdtrit  # here, as in score_intervals

    return float(stdtrit(dof, probability))


def same_size(run: Trajectory, runs: Sequence[Trajectory]) -> Deviation | None:
    """Returns the deviations of a run from runs of the same model that read the same batches, None without enough.

    Before the decay, the loss at a step does not depend on the length of a run, under a schedule of which this is true
    (warmup-stable-decay, constant). ln L of the run minus the median of the others is averaged over each share of the
    tokens; the noise of the batches cancels. The limit is the largest of LEAST_EFFECT, SIBLING_ERRORS standard errors
    and SIBLING_SPREAD times the difference among the others.

    Args:
        run: The run.
        runs: Runs of the sweep, finished or not.
    """
    others = [
        other for other in runs
        if other.run_id != run.run_id and (other.size, other.batches) == (run.size, run.batches)
    ]  # fmt: skip
    if len(others) < MIN_SIBLINGS or not len(run.step):
        return None
    end = float(np.median([other.decay_share for other in others])) * run.steps
    value, limit = np.full(BINS, np.nan), np.full(BINS, np.nan)
    table = np.array([_log_losses_at(run.step, other) for other in others])  # (R, n)
    counted = (np.isfinite(table).sum(0) >= MIN_SIBLINGS) & (run.step <= end)
    part = bins_of(run.share)
    for k in np.flatnonzero(np.isfinite(run.binned)):
        chosen = counted & (part == k)
        if k < FIRST_BIN or chosen.sum() < max(3, (part == k).sum() / 2):
            continue
        middle = np.nanmedian(table[:, chosen], 0)
        difference = np.log(run.loss[chosen]) - middle
        spread = float(np.nanmedian(np.abs(table[:, chosen] - middle)))
        error = float(difference.std(ddof=1)) / np.sqrt(chosen.sum())
        value[k] = float(difference.mean())
        limit[k] = max(LEAST_EFFECT, SIBLING_ERRORS * error, SIBLING_SPREAD * spread)
    return Deviation(value, limit) if np.isfinite(value).any() else None


def _log_losses_at(steps: np.ndarray, other: Trajectory) -> np.ndarray:
    """Ln L of another run at some steps (n,); NaN where it has none, or its decay has begun."""
    out = np.full(len(steps), np.nan)
    before = other.step <= other.decay_share * other.steps
    _, here, there = np.intersect1d(steps, other.step[before], return_indices=True)
    out[here] = np.log(other.loss[before][there])
    return out
