"""Power laws of the optimal learning rate and batch size in model size, tokens or compute.

Key: N parameters without embeddings, D tokens, C FLOPs, lr peak learning rate, B tokens per batch.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.laws.law import SIGNED_EXPONENT, Array, Law, Published

UNITS = {"N": "parameters", "D": "tokens", "C": "FLOPs", "lr": "peak learning rate", "B": "tokens per batch"}
COLUMNS = {
    "lr": "lr learning_rate peak_lr max_lr best_lr optimal_lr eta",
    "B": "b batch_size batch_tokens batch bs best_batch optimal_batch",
}


def step_law_lr(N: Array, D: Array, *, c: Array, alpha: Array, beta: Array) -> Array:
    """c·N^α·D^β (Step law, Li 2025, equation 1).

    Args:
        N: Parameters.
        D: Tokens.
        c: Factor.
        alpha: Exponent of the size.
        beta: Exponent of the data.
    """
    return c * N**alpha * D**beta


def step_law_batch(D: Array, *, c: Array, beta: Array) -> Array:
    """c·D^β (Step law, Li 2025, equation 1).

    Args:
        D: Tokens.
        c: Factor in tokens.
        beta: Exponent.
    """
    return c * D**beta


def deepseek_lr(C: Array, *, c: Array, g: Array) -> Array:
    """c·C^−g (DeepSeek 2024, equation 1; C there without embeddings, with attention).

    Args:
        C: Training FLOPs.
        c: Factor.
        g: Exponent.
    """
    return c * C**-g


def deepseek_batch(C: Array, *, c: Array, g: Array) -> Array:
    """c·C^g (DeepSeek 2024, equation 1; C as in deepseek_lr).

    Args:
        C: Training FLOPs.
        c: Factor in tokens.
        g: Exponent.
    """
    return c * C**g


STARTS = (-0.5, 0.0, 0.5)  # starting values of an exponent


def _power(
    function: Callable[..., Array],
    source: str,
    output: str,
    values: dict[str, float],
    latex: str,
) -> Law:
    exponents = [name for name in values if name != "c"]
    return Law(
        function,
        source,
        dict.fromkeys(exponents, STARTS),
        linear=("c",),
        bounds=dict.fromkeys(exponents, SIGNED_EXPONENT),
        output=output,
        objective="mse-log",
        units=UNITS,
        columns={output: COLUMNS[output]},
        latex=(latex,),
        published=(Published(source.partition(",")[0], values),),
    )


STEP_LAW, DEEPSEEK = "Li 2025 (Step law), equation 1", "DeepSeek 2024, equation 1"
STEP_LAW_LR = _power(
    step_law_lr,
    STEP_LAW,
    "lr",
    {"c": 1.79, "alpha": -0.713, "beta": 0.307},
    r"\eta(N, D) = c N^\alpha D^\beta",
)
STEP_LAW_BATCH = _power(step_law_batch, STEP_LAW, "B", {"c": 0.58, "beta": 0.571}, r"B(D) = c D^\beta")
DEEPSEEK_LR = _power(deepseek_lr, DEEPSEEK, "lr", {"c": 0.3118, "g": 0.1250}, r"\eta(C) = c C^{-g}")
DEEPSEEK_BATCH = _power(deepseek_batch, DEEPSEEK, "B", {"c": 0.2920, "g": 0.3271}, "B(C) = c C^g")
