"""Metrics of stored evaluation items, one number per item: scores, which may jump, and continuous metrics.

Metrics are computed from stored items, without the model. A metric is None if the items lack its columns.

Key: I items, K choices, T tokens of the correct answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd

TIE = 1e-9  # difference in nats up to which choices count as equally likely


@dataclass(frozen=True)
class Metric:
    """A metric of items.

    Attributes:
        compute: Function of the table of items. Returns a value per item (I,), NaN if an item has no value, or None.
        label: Name in figures, with its unit.
        share: Whether each item is either right or wrong (1 or 0).
        higher_is_better: Whether a larger value is better.
    """

    compute: Callable[[pd.DataFrame], np.ndarray | None]
    label: str
    share: bool = False
    higher_is_better: bool = True


def exact_match(items: pd.DataFrame) -> np.ndarray | None:
    """Returns 1 where the greedy continuation is the correct answer, else 0 (I,)."""
    greedy_I = _column(items, "greedy")
    return None if greedy_I is None else np.array([np.nan if g is None else float(g) for g in greedy_I])


def accuracy(items: pd.DataFrame, per: str | None = None) -> np.ndarray | None:
    """Returns 1 where the correct choice is the most likely, else 0 (I,).

    Ties count as fractions, so that a model that gives all choices the same probability scores chance level.

    Args:
        items: Table of items.
        per: Column that normalises the log-probability of a choice: choice_tokens or choice_bytes (divided by), or
            choice_prior_logp (subtracted: the log-probability without the question). None does not normalise.
    """
    out = []
    for logp_K, gold, norm_K in zip(*_choices(items, per), strict=True):
        if logp_K is None or (per and norm_K is None):
            out.append(np.nan)
            continue
        value_K = normalised(np.asarray(logp_K, float), norm_K, per)
        best_K = np.isclose(value_K, value_K.max(), rtol=0, atol=TIE)
        out.append(float(best_K[int(gold)]) / best_K.sum())
    return _array_or_none(out)


def answer_logp(items: pd.DataFrame, per: str = "token") -> np.ndarray | None:
    """Returns the log-probability of the correct answer in nats (I,).

    Args:
        items: Table of items.
        per: token, byte, or all (the sum).
    """
    logp_IT = _column(items, "answer_logp")
    if logp_IT is None:
        return None
    bytes_I = _column(items, "answer_bytes")
    out = []
    for i, logp_T in enumerate(logp_IT):
        if logp_T is None or not len(logp_T):
            out.append(np.nan)
            continue
        divisor = {"token": len(logp_T), "all": 1, "byte": bytes_I[i] if bytes_I is not None else None}[per]
        out.append(float(np.sum(logp_T)) / divisor if divisor else np.nan)
    return _array_or_none(out)


def choice_logp(items: pd.DataFrame) -> np.ndarray | None:
    """Returns the log-probability of the correct choice among the choices in nats (I,): log 1/K at chance."""
    out = [
        np.nan if logp_K is None else float(_log_softmax(np.asarray(logp_K, float))[int(gold)])
        for logp_K, gold, _ in zip(*_choices(items, None), strict=True)
    ]
    return _array_or_none(out)


def brier_score(items: pd.DataFrame) -> np.ndarray | None:
    """Returns the sum over choices of (probability - 1 if right)^2 (Brier 1950); without choices (1 - p(answer))^2."""
    out = []
    total_I = answer_logp(items, "all")
    for i, (logp_K, gold, _) in enumerate(zip(*_choices(items, None), strict=True)):
        if logp_K is not None:
            p_K = np.exp(_log_softmax(np.asarray(logp_K, float)))
            p_K[int(gold)] -= 1
            out.append(float(p_K @ p_K))
        else:
            out.append(np.nan if total_I is None else float((1 - np.exp(total_I[i])) ** 2))
    return _array_or_none(out)


def edit_distance(items: pd.DataFrame) -> np.ndarray | None:
    """Returns the edit distance between the greedy text and the answer, relative to the length of the answer (I,).

    The units are words if the answer has several words, else characters, such as digits.
    """
    texts, answers = _column(items, "generated"), _column(items, "answer")
    if texts is None or answers is None:
        return None
    out = []
    for text, answer in zip(texts, answers, strict=True):
        if text is None or not len(text) or answer is None or not str(answer).strip():
            out.append(np.nan)
            continue
        right = edit_tokens(str(answer))
        out.append(levenshtein_distance(edit_tokens(str(text[0]), answer=str(answer)), right) / len(right))
    return _array_or_none(out)


def pass_at_k(items: pd.DataFrame, k: int) -> np.ndarray | None:
    """Returns the unbiased estimate of pass@k of each item (I,), NaN for items with fewer than k samples.

    Args:
        items: Table of items.
        k: Number of samples, at least one of which must pass.
    """
    passed_I = _passed_samples(items)
    if passed_I is None:
        return None
    return _array_or_none(
        [np.nan if p is None or len(p) < k else pass_at_k_estimate(len(p), int(np.sum(p)), k) for p in passed_I]
    )


def pass_until(items: pd.DataFrame, passes: int = 1) -> np.ndarray | None:
    """Returns PassUntil of each item (I,): number of passes over number of samples up to the last pass (Hu 2023).

    Args:
        items: Table of items.
        passes: Number of passes after which sampling stops.
    """
    passed_I = _passed_samples(items)
    if passed_I is None:
        return None
    return _array_or_none(
        [np.nan if p is None or not len(p) else pass_until_estimate(np.asarray(p, bool), passes) for p in passed_I]
    )


def pass_at_k_estimate(n: int, c: int, k: int) -> float:
    """Returns the probability that one of k samples passes, 1 - C(n - c, k) / C(n, k) (Chen 2021, equation 1).

    Args:
        n: Number of samples.
        c: Number of samples that pass.
        k: Number of samples drawn from them.
    """
    return 1.0 - comb(n - c, k) / comb(n, k)


def pass_until_estimate(passed: np.ndarray, r: int) -> float:
    """Returns r over the number of samples up to the r-th pass, or the share of passes if there are fewer than r.

    Args:
        passed: Whether each sample passes, in order.
        r: Number of passes.
    """
    passes = np.flatnonzero(passed)
    return r / (passes[r - 1] + 1) if len(passes) >= r else len(passes) / len(passed)


def edit_tokens(text: str, answer: str | None = None) -> list[str]:
    """Splits a text into words if the answer has several words, else into characters.

    Args:
        text: Text to split.
        answer: Correct answer; the text itself by default.
    """
    reference = (answer if answer is not None else text).strip()
    return text.split() if len(reference.split()) > 1 else list(text.strip())


def levenshtein_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Returns the smallest number of insertions, deletions and substitutions that turn a into b (Levenshtein 1966).

    Args:
        a: First sequence.
        b: Second sequence.
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def chance_corrected(score: np.ndarray | float, chance: np.ndarray | float) -> np.ndarray | float:
    """Returns the score rescaled such that 0 is chance level and 1 is perfect.

    Args:
        score: Share of correct answers.
        chance: Score of a random guess.
    """
    return (score - chance) / (1 - chance)


METRICS: dict[str, Metric] = {
    "exact": Metric(exact_match, "exact match", share=True),
    "accuracy": Metric(accuracy, "accuracy", share=True),
    "accuracy-token": Metric(lambda items: accuracy(items, "choice_tokens"), "accuracy, per token", share=True),
    "accuracy-byte": Metric(lambda items: accuracy(items, "choice_bytes"), "accuracy, per byte", share=True),
    "accuracy-prior": Metric(
        lambda items: accuracy(items, "choice_prior_logp"), "accuracy, relative to prior", share=True
    ),
    "logp": Metric(answer_logp, "log-probability of the answer (nats/token)"),
    "logp-total": Metric(lambda items: answer_logp(items, "all"), "log-probability of the answer (nats)"),
    "logp-byte": Metric(lambda items: answer_logp(items, "byte"), "log-probability of the answer (nats/byte)"),
    "choice-logp": Metric(choice_logp, "log-probability of the correct choice (nats)"),
    "brier": Metric(brier_score, "Brier score", higher_is_better=False),
    "edit": Metric(edit_distance, "token edit distance", higher_is_better=False),
    "pass@1": Metric(lambda items: pass_at_k(items, 1), "pass@1"),
    "pass@10": Metric(lambda items: pass_at_k(items, 10), "pass@10"),
    "pass@100": Metric(lambda items: pass_at_k(items, 100), "pass@100"),
    "pass-until": Metric(pass_until, "PassUntil"),
}


def normalised(logp_K: np.ndarray, norm_K: Any, per: str | None) -> np.ndarray:
    """Returns the log-probabilities of choices after normalisation (K,).

    Args:
        logp_K: Log-probability of each choice in nats.
        norm_K: Cell of the column `per`, with a number for each choice.
        per: Column that normalises, as in `accuracy`.
    """
    if per is None:
        return logp_K
    norm_K = np.asarray(norm_K, float)
    return logp_K - norm_K if per == "choice_prior_logp" else logp_K / norm_K


def _column(items: pd.DataFrame, name: str) -> list[Any] | None:
    """Cells of a column, None for empty cells; None if the column does not exist or is empty."""
    if name not in items:
        return None
    cells = [None if cell is None or (isinstance(cell, float) and np.isnan(cell)) else cell for cell in items[name]]
    return cells if any(cell is not None for cell in cells) else None


def _passed_samples(items: pd.DataFrame) -> list[Any] | None:
    """Whether each sample passes; the first text is greedy and is not a sample."""
    passed_I = _column(items, "passed")
    return None if passed_I is None else [None if p is None else p[1:] for p in passed_I]


def _choices(items: pd.DataFrame, per: str | None) -> tuple[list[Any], list[Any], list[Any]]:
    """Log-probabilities of the choices of each item, the index of the right one, and the normalising cell."""
    none: list[Any] = [None] * len(items)
    logp_I, gold_I = _column(items, "choice_logp"), _column(items, "gold")
    if logp_I is None or gold_I is None:
        return none, none, none
    complete = [
        p if p is not None and len(p) and g is not None and np.isfinite(np.max(p)) else None  # not if it diverged
        for p, g in zip(logp_I, gold_I, strict=True)
    ]
    return complete, gold_I, (_column(items, per) or none) if per else none


def _log_softmax(logp_K: np.ndarray) -> np.ndarray:
    top = logp_K.max()
    return np.asarray(logp_K - top - np.log(np.sum(np.exp(logp_K - top))))


def _array_or_none(values: list[float]) -> np.ndarray | None:
    """The values as an array, None if no value is finite."""
    out = np.array(values, np.float64)
    return out if np.isfinite(out).any() else None
