"""Metrics of items, each a number an item: those that jump and those that don't, from what was kept of the evaluation.

Nothing here asks the model again. A metric that the items do not carry what it takes for is None.

Key: I items, K choices, T tokens of the right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Metric:
    """of: items -> (I,), NaN where an item has none. share: whether each item is right or wrong (0 or 1)."""

    of: Callable[[pd.DataFrame], np.ndarray | None]
    said: str
    share: bool = False
    up: bool = True  # whether more is better


def exact(items: pd.DataFrame) -> np.ndarray | None:
    """1 where the greedy continuation is the right answer."""
    kept = _column(items, "greedy")
    return None if kept is None else np.array([np.nan if g is None else float(g) for g in kept])


def accuracy(items: pd.DataFrame, per: str | None = None) -> np.ndarray | None:
    """1 where the right choice is the likeliest: raw, or per token, per byte, or over what it is without the question.

    Of choices equally likely an equal share of the item is given: all of them alike are at chance, not at 1.
    """
    out = []
    for logp_K, gold, over in zip(*_choices(items, per), strict=True):
        if logp_K is None or (per and over is None):
            out.append(np.nan)
            continue
        value_K = _over(np.asarray(logp_K, float), over, per)
        best_K = np.isclose(value_K, value_K.max(), rtol=0, atol=1e-9)
        out.append(float(best_K[int(gold)]) / best_K.sum())
    return _some(out)


def logp(items: pd.DataFrame, per: str = "token") -> np.ndarray | None:
    """Log-probability of the right answer, nats a token, a byte, or in all."""
    kept = _column(items, "answer_logp")
    if kept is None:
        return None
    bytes_I = _column(items, "answer_bytes")
    out = []
    for i, logp_T in enumerate(kept):
        if logp_T is None or not len(logp_T):
            out.append(np.nan)
            continue
        by = {"token": len(logp_T), "all": 1, "byte": bytes_I[i] if bytes_I is not None else None}[per]
        out.append(float(np.sum(logp_T)) / by if by else np.nan)
    return _some(out)


def choice_logp(items: pd.DataFrame) -> np.ndarray | None:
    """Log-probability of the right choice among the choices, nats: log 1/K at chance."""
    out = [
        np.nan if logp_K is None else float(_log_softmax(np.asarray(logp_K, float))[int(gold)])
        for logp_K, gold, _ in zip(*_choices(items, None), strict=True)
    ]
    return _some(out)


def brier(items: pd.DataFrame) -> np.ndarray | None:
    """Σ over choices of (probability − 1 if right)² (Brier 1950); of an answer alone (1 − its probability)²."""
    out = []
    total = logp(items, "all")
    for i, (logp_K, gold, _) in enumerate(zip(*_choices(items, None), strict=True)):
        if logp_K is not None:
            p_K = np.exp(_log_softmax(np.asarray(logp_K, float)))
            p_K[int(gold)] -= 1
            out.append(float(p_K @ p_K))
        else:
            out.append(np.nan if total is None else float((1 - np.exp(total[i])) ** 2))
    return _some(out)


def edits(items: pd.DataFrame) -> np.ndarray | None:
    """Edit distance of the greedy text, the first, to the answer, over the length of the answer, in tokens.

    Tokens are words where the answer has several, else characters: digits of a number, elements of a list.
    """
    texts, answers = _column(items, "generated"), _column(items, "answer")
    if texts is None or answers is None:
        return None
    out = []
    for text, answer in zip(texts, answers, strict=True):
        if text is None or not len(text) or answer is None or not str(answer).strip():
            out.append(np.nan)
            continue
        right = tokens(str(answer))
        out.append(distance(tokens(str(text[0]), like=str(answer)), right) / len(right))
    return _some(out)


def pass_at(items: pd.DataFrame, k: int) -> np.ndarray | None:
    """pass@k, unbiased: 1 − C(n − c, k)/C(n, k) of n samples, c of which pass (Chen 2021, equation 1)."""
    kept = _sampled(items)
    if kept is None:
        return None
    return _some([np.nan if p is None or len(p) < k else passes(len(p), int(np.sum(p)), k) for p in kept])


def pass_until(items: pd.DataFrame, passes_wanted: int = 1) -> np.ndarray | None:
    """PassUntil: r/K where the r-th pass is the K-th sample (Hu 2023); samples that end before it count c of n."""
    kept = _sampled(items)
    if kept is None:
        return None
    return _some([np.nan if p is None or not len(p) else until(np.asarray(p, bool), passes_wanted) for p in kept])


def passes(n: int, c: int, k: int) -> float:
    """Chance that k of n samples, c of them passing, hold one that passes (Chen 2021, equation 1)."""
    return 1.0 - comb(n - c, k) / comb(n, k)


def until(passed: np.ndarray, r: int) -> float:
    """r over the number of samples up to the r-th pass; passes over samples where there are fewer."""
    at = np.flatnonzero(passed)
    return r / (at[r - 1] + 1) if len(at) >= r else len(at) / len(passed)


def tokens(text: str, like: str | None = None) -> list[str]:
    """Words of a text whose answer (`like`) has several; else its characters."""
    said = (like if like is not None else text).strip()
    return text.split() if len(said.split()) > 1 else list(text.strip())


def distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Fewest insertions, deletions and substitutions that make b of a (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def wilson(hits: float, items: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) of a share: holds its level near 0 and 1, where the normal one fails."""
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    share, spread = hits / items, z / (1 + z * z / items)
    middle = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = spread * np.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    low, high = middle - half, middle + half
    return (0.0 if hits == 0 else float(low), 1.0 if hits == items else float(high))


def corrected(score: np.ndarray | float, chance: np.ndarray | float) -> np.ndarray | float:
    """0 at chance, 1 where all is right; below 0 is worse than chance."""
    return (score - chance) / (1 - chance)


METRICS: dict[str, Metric] = {
    "exact": Metric(exact, "exact match", share=True),
    "accuracy": Metric(accuracy, "accuracy", share=True),
    "accuracy-token": Metric(lambda items: accuracy(items, "choice_tokens"), "accuracy, a token", share=True),
    "accuracy-byte": Metric(lambda items: accuracy(items, "choice_bytes"), "accuracy, a byte", share=True),
    "accuracy-prior": Metric(lambda items: accuracy(items, "choice_prior_logp"), "accuracy, over prior", share=True),
    "logp": Metric(logp, "log-probability of the answer (nats/token)"),
    "logp-total": Metric(lambda items: logp(items, "all"), "log-probability of the answer (nats)"),
    "logp-byte": Metric(lambda items: logp(items, "byte"), "log-probability of the answer (nats/byte)"),
    "choice-logp": Metric(choice_logp, "log-probability of the right choice (nats)"),
    "brier": Metric(brier, "Brier score", up=False),
    "edit": Metric(edits, "token edit distance", up=False),
    "pass@1": Metric(lambda items: pass_at(items, 1), "pass@1"),
    "pass@10": Metric(lambda items: pass_at(items, 10), "pass@10"),
    "pass@100": Metric(lambda items: pass_at(items, 100), "pass@100"),
    "pass-until": Metric(pass_until, "PassUntil"),
}


def _column(items: pd.DataFrame, name: str) -> list[Any] | None:
    """Cells of a column with None where empty; None where there is no such column or it is all empty."""
    if name not in items:
        return None
    cells = [None if cell is None or (isinstance(cell, float) and np.isnan(cell)) else cell for cell in items[name]]
    return cells if any(cell is not None for cell in cells) else None


def _sampled(items: pd.DataFrame) -> list[Any] | None:
    """Whether each sample passes; the first text is greedy, and no sample."""
    kept = _column(items, "passed")
    return None if kept is None else [None if p is None else p[1:] for p in kept]


def _choices(items: pd.DataFrame, per: str | None) -> tuple[list[Any], list[Any], list[Any]]:
    """Of each item its choices' log-probabilities, which is right, and what they are taken over."""
    none: list[Any] = [None] * len(items)
    logp_I, gold_I = _column(items, "choice_logp"), _column(items, "gold")
    if logp_I is None or gold_I is None:
        return none, none, none
    whole = [p if p is not None and len(p) and g is not None else None for p, g in zip(logp_I, gold_I, strict=True)]
    return whole, gold_I, (_column(items, per) or none) if per else none


def _over(value_K: np.ndarray, over: Any, per: str | None) -> np.ndarray:
    if per is None:
        return value_K
    by_K = np.asarray(over, float)
    return value_K - by_K if per == "choice_prior_logp" else value_K / by_K


def _log_softmax(logp_K: np.ndarray) -> np.ndarray:
    top = logp_K.max()
    return np.asarray(logp_K - top - np.log(np.sum(np.exp(logp_K - top))))


def _some(values: list[float]) -> np.ndarray | None:
    out = np.array(values, np.float64)
    return out if np.isfinite(out).any() else None
