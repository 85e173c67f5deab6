"""Runs that read the same batches again, from the training losses alone.

The loss of a batch is that of the model plus the difficulty of the batch, which is most of the noise between steps and
nearly the same for a slightly better model. A run that starts its data again therefore repeats the noise of earlier
steps at one distance, and at no other.

Key: n steps, W = WINDOW steps.
"""

from __future__ import annotations

import numpy as np

WINDOW = 64  # steps that are compared with as many earlier ones
CHECKS = 80  # largest number of windows of a run; windows of short runs end every LEAST_SPACING steps
LEAST_SPACING = 16
LEAST_CORRELATION = 0.75  # of the noise; 0 ± 0.13 by chance, hence 6 standard errors
MOST_NOISE = 2.5  # standard deviations, by the median, to which the noise of a step is limited
HALF_SPAN = 2  # steps on each side over which the trend of the loss is averaged
MOST_OTHERS = 0.1  # share of other distances with half of this correlation: an oscillation has many


def repeated_batches(loss: np.ndarray) -> tuple[int, int] | None:
    """Returns the index of the last of the first WINDOW steps that repeat earlier batches, and the distance in steps.

    The noise is ln L minus its average over 2·HALF_SPAN + 1 steps. The correlation of the noise of WINDOW steps with
    that of every WINDOW earlier steps must exceed LEAST_CORRELATION at one distance, and at its neighbours and at most
    others be less than half as large, which excludes oscillations of the loss and trends.

    Args:
        loss: Training losses at each step (n,), nats per token.

    Returns:
        None if no batches are repeated.
    """
    noise = _noise(loss)
    every = max(LEAST_SPACING, -(-len(noise) // CHECKS))
    for end in range(2 * WINDOW + HALF_SPAN, len(noise) - HALF_SPAN + 1, every):
        correlation = _correlations(noise[:end])
        best = int(np.argmax(correlation))
        if correlation[best] > LEAST_CORRELATION and _is_isolated(correlation, best):
            return end - 1, end - WINDOW - best
    return None


def _noise(loss: np.ndarray) -> np.ndarray:
    """Ln L minus its trend (n,), limited to MOST_NOISE standard deviations: one odd batch is no evidence."""
    y = np.log(np.maximum(loss, 1e-12))
    kernel = np.ones(2 * HALF_SPAN + 1)
    if len(y) < len(kernel):
        return np.zeros(len(y))
    noise = y - np.convolve(y, kernel, "same") / np.convolve(np.ones_like(y), kernel, "same")
    limit = MOST_NOISE * 1.4826 * float(np.median(np.abs(noise)))
    return np.clip(noise, -limit, limit)


def _correlations(noise: np.ndarray) -> np.ndarray:
    """Correlation of the last WINDOW values with the WINDOW values from each earlier start."""
    earlier, last = noise[: len(noise) - WINDOW], noise[-WINDOW:] - noise[-WINDOW:].mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (earlier, earlier**2))
    mean = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    variance = np.maximum((squares[WINDOW:] - squares[:-WINDOW]) / WINDOW - mean**2, 1e-30)
    return np.asarray(np.correlate(earlier, last, "valid") / (WINDOW * np.sqrt(variance * np.mean(last**2) + 1e-60)))


def _is_isolated(correlation: np.ndarray, best: int) -> bool:
    half = np.abs(correlation) > correlation[best] / 2
    neighbours = half[max(0, best - 1) : best].any() or half[best + 1 : best + 2].any()
    return not neighbours and bool(half.mean() <= MOST_OTHERS)
