"""Law of transfer: the value of pre-training on one kind of text in tokens of another (Hernandez 2021).

Key: DF tokens of fine-tuning, DT fine-tuning tokens that pre-training replaces, N parameters without embeddings.
"""

from __future__ import annotations

from analysis.laws.law import SIGNED_EXPONENT, Array, Law, Published


def transfer(DF: Array, N: Array, *, k: Array, alpha: Array, beta: Array) -> Array:
    """k·DF^α·N^β: tokens beyond DF that a model from scratch needs for the same loss (Hernandez 2021, equation 1.1).

    Args:
        DF: Tokens of fine-tuning.
        N: Parameters.
        k: Factor in tokens.
        alpha: Exponent of the data.
        beta: Exponent of the size.
    """
    return k * DF**alpha * N**beta


TRANSFER = Law(
    transfer,
    "Hernandez 2021, equation 1.1",
    {"alpha": (0.2, 0.8), "beta": (0.2, 0.8)},
    linear=("k",),
    bounds={"alpha": SIGNED_EXPONENT, "beta": SIGNED_EXPONENT},
    output="DT",
    objective="mse-log",
    units={"DF": "tokens", "N": "parameters", "DT": "tokens"},
    columns={
        "DF": "df d_f finetune_tokens fine_tuning_tokens finetuning_tokens",
        "DT": "dt d_t effective_data_transferred data_transferred tokens_transferred",
    },
    latex=(r"D_T(D_F, N) = k D_F^\alpha N^\beta",),
    published=(
        Published("Hernandez 2021, text to Python", {"k": 1.9e4, "alpha": 0.18, "beta": 0.38}),
        Published("Hernandez 2021, text and other code to Python", {"k": 2.1e5, "alpha": 0.096, "beta": 0.38}),
    ),
)
