"""Scores of a sparse autoencoder from sums over sequences, as SAEBench's core evaluation defines them, with intervals.

Intervals are percentiles of a bootstrap over sequences: tokens of one sequence are correlated. Ratios are computed anew
from the sums of each resample.

Axes: S sequences, D width, n latents, R resamples, C columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scaling.evaluation.summary import Score
from scaling.store.score_intervals import LEVEL

RESAMPLES = 1000
DENSE = {"dense_1pct": 0.01, "dense_10pct": 0.1}  # density above which a latent is dense
RARE = 1e-4  # density below which a latent is rare, unless it is dead
Totals = Mapping[str, np.ndarray]  # sums over the sequences of each resample, (R,)


def _mean(name: str) -> Callable[[Totals], np.ndarray]:
    return lambda total: total[name] / total["tokens"]


def _explained_variance(total: Totals) -> np.ndarray:
    """1 - mean ‖x - x̂‖² / (mean ‖x‖² - ‖mean x‖²)."""
    variance_R = total["squared_norm"] / total["tokens"] - total["squared_mean"]
    return 1 - total["squared_error"] / total["tokens"] / variance_R


SCORES: dict[str, Callable[[Totals], np.ndarray]] = {
    "l0": _mean("l0"),
    "l1": _mean("l1"),
    "mse": _mean("squared_error"),
    "explained_variance": _explained_variance,
    "cosine": _mean("cosine"),
    "l2_ratio": _mean("l2_ratio"),
    "relative_bias": lambda total: total["reconstruction_squared_norm"] / total["product"],
    "ce_clean": _mean("ce_clean"),
    "ce_sae": _mean("ce_sae"),
    "ce_ablated": _mean("ce_ablated"),
    "ce_score": lambda t: (t["ce_ablated"] - t["ce_sae"]) / (t["ce_ablated"] - t["ce_clean"]),
    "kl_sae": _mean("kl_sae"),
    "kl_ablated": _mean("kl_ablated"),
    "kl_score": lambda total: (total["kl_ablated"] - total["kl_sae"]) / total["kl_ablated"],
}


def resample_counts(sequences: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Returns how often each sequence is in each resample, (R, S).

    Args:
        sequences: Number of sequences, S.
        resamples: Number of resamples, R.
        seed: Seed of the resamples.
    """
    uniform_S = np.full(sequences, 1 / sequences)
    return np.random.default_rng(seed).multinomial(sequences, uniform_S, size=resamples).astype(np.float64)


def sequence_scores(columns: Mapping[str, np.ndarray]) -> dict[str, Score]:
    """Returns the scores that are means over tokens, or ratios of means.

    Args:
        columns: Sums of each sequence by the names of measures.COLUMNS, (S,); `tokens`, (S,); and `x`, (S, D).

    Returns:
        Scores by name; one that is not finite, such as a ratio to 0, is absent. There is no interval for fewer than two
        sequences.
    """
    count = len(columns["tokens"])
    values, resampled = _totals(columns, np.ones((1, count))), _totals(columns, resample_counts(count))
    scores = {}
    for name, compute in SCORES.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            value, values_R = float(compute(values)[0]), compute(resampled)
        if np.isfinite(value):
            scores[name] = Score(value, count, percentile_interval(values_R) if count > 1 else None)
    return scores


def _totals(columns: Mapping[str, np.ndarray], counts_RS: np.ndarray) -> dict[str, np.ndarray]:
    total = {name: counts_RS @ values_S for name, values_S in columns.items() if values_S.ndim == 1}
    mean_RD = counts_RS @ columns["x"] / total["tokens"][:, None]
    return total | {"squared_mean": np.sum(mean_RD**2, -1)}


def latent_scores(active_Sn: np.ndarray, tokens_S: np.ndarray) -> dict[str, Score]:
    """Returns the scores that are counts or shares of latents.

    Dead latents are never active on this text, and rare ones on fewer than RARE of its tokens. These counts are exact
    for the text, and depend on its size; they have no interval. Shares of latents that are active on more than 1% or
    10% of tokens have one.

    Args:
        active_Sn: Tokens of each sequence on which each latent is active.
        tokens_S: Tokens of each sequence.
    """
    count, density_n = len(tokens_S), active_Sn.sum(0) / tokens_S.sum()
    scores = {
        "dead": Score(float(np.sum(density_n == 0)), count),
        "alive": Score(float(np.mean(density_n > 0)), count),
        "rare": Score(float(np.sum((density_n > 0) & (density_n < RARE))), count),
    }
    resampled = {name: np.empty(0) for name in DENSE}
    if count > 1:
        counts_RS = resample_counts(count)
        tokens_R = counts_RS @ tokens_S
        above = {name: np.zeros(len(counts_RS)) for name in DENSE}
        for start in range(0, active_Sn.shape[1], 1024):  # all latents at once would take much memory
            density_Rn = counts_RS @ active_Sn[:, start : start + 1024].astype(np.float64) / tokens_R[:, None]
            for name, least in DENSE.items():
                above[name] += np.sum(density_Rn > least, -1)
        resampled = {name: total_R / active_Sn.shape[1] for name, total_R in above.items()}
    for name, least in DENSE.items():
        interval = percentile_interval(resampled[name]) if count > 1 else None
        scores[name] = Score(float(np.mean(density_n > least)), count, interval)
    return scores


def percentile_interval(values_R: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Returns the interval between the percentiles of resampled values; None if one of them is not finite.

    Args:
        values_R: A score of each resample.
        level: Coverage.
    """
    if not np.isfinite(values_R).all():
        return None
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
