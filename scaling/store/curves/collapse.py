"""Learning curves normalised by their end, which coincide over sizes in a sweep that is tuned well (Qiu 2025).

With the loss L_r(x) of run r after a share x of its training tokens and the irreducible loss L0, the normalised curve

    l_r(x) = (L_r(x) - L0) / (L_r(1) - L0)                          (Qiu 2025, arXiv 2507.02119, section 2)

of compute-optimal runs is one function of x for all sizes: the curves collapse. Where a schedule ends with a decay, the
spread over sizes is below the noise of seeds ("supercollapse").

Key: R runs, n points of a curve, K = BINS shares of the tokens, S scales (such as N and D), G grid points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BINS = 20  # parts of the tokens of a run over which its loss is averaged
EXPONENTS = (0.01, 2.0)  # range in which the exponents of the law of the end loss are searched
GRID, ZOOMS = 13, 7  # exponents per scale, and the number of finer grids around the best


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The learning curve of a run, and what it is compared by.

    Attributes:
        run_id: Id of the run.
        N: Parameters.
        D: Tokens of the whole run.
        steps: Steps of the whole run.
        step: Logged steps (n,), rising.
        share: Share of the tokens read at these steps (n,), from 0 to 1.
        loss: Training loss at these steps (n,), nats per token.
        is_finished: Whether the run ended normally, so that other runs are compared with it.
        size: Equal for runs of the same model.
        batches: Equal for runs that read the same batches at the same steps.
        decay_share: Share of the steps at which the learning rate begins to depend on the length of the run.
    """

    run_id: str
    N: float
    D: float
    steps: int
    step: np.ndarray
    share: np.ndarray
    loss: np.ndarray
    is_finished: bool = True
    size: str = ""
    batches: str = ""
    decay_share: float = 1.0

    @cached_property
    def binned(self) -> np.ndarray:
        """Mean loss within each BINS-th of the tokens (K,); NaN for parts that the run has not completed."""
        return binned_loss(self.share, self.loss)

    @cached_property
    def last_steps(self) -> np.ndarray:
        """Last logged step within each BINS-th of the tokens (K,); 0 for a part without one."""
        last = np.zeros(BINS, np.int64)
        np.maximum.at(last, bins_of(self.share), self.step)
        return last


def binned_loss(share: np.ndarray, loss: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns the mean loss within equal parts of the tokens (K,); NaN for parts that are not completed.

    Args:
        share: Share of the tokens at each point (n,), rising from 0 to 1.
        loss: Loss at these points (n,).
        bins: Number of parts, K.
    """
    part = bins_of(share, bins)
    count = np.bincount(part, minlength=bins)
    mean = np.full(bins, np.nan)
    np.divide(np.bincount(part, loss, minlength=bins), count, out=mean, where=count > 0)
    spacing = float(np.diff(share).max()) if len(share) > 1 else 1.0
    mean[np.arange(1, bins + 1) / bins > (share[-1] if len(share) else 0.0) + spacing] = np.nan
    return mean


def bins_of(share: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Returns the part of the tokens, from 0, in which each share lies (n,); arguments as for `binned_loss`."""
    return np.clip(np.ceil(share * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)


def normalised(loss: np.ndarray, end: float, irreducible: float = 0.0) -> np.ndarray:
    """Returns (L - L0) / (L_end - L0), the normalised curve of Qiu 2025.

    Args:
        loss: Losses of a run, nats per token.
        end: Loss at its end, measured or expected.
        irreducible: L0, nats per token.
    """
    return (loss - irreducible) / (end - irreducible)


def collapse_spread(curves: np.ndarray) -> np.ndarray:
    """Returns the relative spread over runs of normalised curves at each share: standard deviation over mean.

    Args:
        curves: Normalised curves, one run per row (R, K).
    """
    return np.asarray(curves.std(0, ddof=1) / curves.mean(0))


def irreducible_loss(loss: np.ndarray, *scales: np.ndarray) -> float:
    """Returns L0 of L = L0 + sum of a_i·s_i^-b_i with a_i >= 0, by least squares of relative errors.

    For one scale, the compute, it is the law of the end loss of Qiu 2025; for N and D, that of Hoffmann 2022 (equation
    2), whose optimum at each compute the former is. The exponents are searched on a grid that becomes finer around its
    best point, and the coefficients are linear. Too few runs to determine it, no scale, or no decrease with one give
    0.

    Args:
        loss: End losses (R,), nats per token.
        scales: Scale of each run, one array (R,) for each term.
    """
    if not scales or len(loss) < 2 + 2 * len(scales):
        return 0.0
    logs = [np.log(scale) - np.log(scale).mean() for scale in scales]
    centres = [float(np.sqrt(EXPONENTS[0] * EXPONENTS[1]))] * len(scales)
    factor, best = float(np.sqrt(EXPONENTS[1] / EXPONENTS[0])), 0.0
    for _ in range(ZOOMS):
        axes = [centre * np.geomspace(1 / factor, factor, GRID) for centre in centres]
        exponents = np.array(list(itertools.product(*axes)))  # (G, S)
        errors, offsets = _grid_errors(loss, logs, exponents)
        if not np.isfinite(errors).any():
            return 0.0
        index = int(np.argmin(errors))
        centres, best = list(exponents[index]), float(offsets[index])
        factor = factor ** (3.0 / (GRID - 1))
    return best


def _grid_errors(loss: np.ndarray, logs: list[np.ndarray], exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares (G,) and L0 (G,) at each choice of exponents; infinite where a coefficient would be negative."""
    terms = [np.exp(-np.outer(exponents[:, i], log)) for i, log in enumerate(logs)]
    X = np.stack([np.ones_like(terms[0]), *terms], -1) / loss[:, None]  # (G, R, 1 + S)
    normal = np.einsum("gri,grj->gij", X, X) + 1e-12 * np.eye(X.shape[-1])
    beta = np.linalg.solve(normal, X.sum(1)[..., None])[..., 0]
    errors = ((X @ beta[..., None])[..., 0] - 1.0) ** 2
    return np.where((beta >= 0).all(-1), errors.sum(-1), np.inf), beta[:, 0]
