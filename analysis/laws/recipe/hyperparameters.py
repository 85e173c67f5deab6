"""Power laws of the optimal learning rate and batch size in model size, tokens or compute.

Key: N parameters without embeddings, D tokens, C FLOPs, lr peak learning rate, B tokens per batch.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.laws.law import SIGNED_EXPONENT, Array, Law

UNITS = {"N": "parameters", "D": "tokens", "C": "FLOPs", "lr": "peak learning rate", "B": "tokens per batch"}
COLUMNS = {
    "lr": "lr learning_rate peak_lr max_lr best_lr optimal_lr eta",
    "B": "b batch_size batch_tokens batch bs best_batch optimal_batch",
}


def step_law_lr(N: Array, D: Array, *, c: Array, alpha: Array, beta: Array) -> Array:
    """c·N^α·D^β (Step law, Li 2025, equation 1: 1.79, −0.713, 0.307).

    Args:
        N: Parameters.
        D: Tokens.
        c: Factor.
        alpha: Exponent of the size.
        beta: Exponent of the data.
    """
    return c * N**alpha * D**beta


def step_law_batch(D: Array, *, c: Array, beta: Array) -> Array:
    """c·D^β (Step law, Li 2025, equation 1: 0.58, 0.571).

    Args:
        D: Tokens.
        c: Factor in tokens.
        beta: Exponent.
    """
    return c * D**beta


def deepseek_lr(C: Array, *, c: Array, g: Array) -> Array:
    """c·C^−g (DeepSeek 2024, equation 1: 0.3118, 0.1250; C there without embeddings, with attention).

    Args:
        C: Training FLOPs.
        c: Factor.
        g: Exponent.
    """
    return c * C**-g


def deepseek_batch(C: Array, *, c: Array, g: Array) -> Array:
    """c·C^g (DeepSeek 2024, equation 1: 0.2920, 0.3271; C as in deepseek_lr).

    Args:
        C: Training FLOPs.
        c: Factor in tokens.
        g: Exponent.
    """
    return c * C**g


def _power(function: Callable[..., Array], source: str, output: str, exponents: dict[str, tuple[float, ...]]) -> Law:
    return Law(
        function,
        source,
        exponents,
        linear=("c",),
        bounds=dict.fromkeys(exponents, SIGNED_EXPONENT),
        output=output,
        objective="mse-log",
        units=UNITS,
        columns={output: COLUMNS[output]},
    )


STARTS = (-0.5, 0.0, 0.5)
STEP_LAW_LR = _power(step_law_lr, "Li 2025 (Step law), equation 1", "lr", {"alpha": STARTS, "beta": STARTS})
STEP_LAW_BATCH = _power(step_law_batch, "Li 2025 (Step law), equation 1", "B", {"beta": STARTS})
DEEPSEEK_LR = _power(deepseek_lr, "DeepSeek 2024, equation 1", "lr", {"g": STARTS})
DEEPSEEK_BATCH = _power(deepseek_batch, "DeepSeek 2024, equation 1", "B", {"g": STARTS})
