"""Transfer: what pre-training on one text is worth in tokens of another (Hernandez 2021).

Key: DF tokens of fine-tuning, DT tokens that pre-training saved, N parameters without embeddings.
"""

from __future__ import annotations

from analysis.laws.law import Array, Law

POWER = (-5.0, 5.0)  # of an exponent that may have either sign


def transfer(DF: Array, N: Array, *, k: Array, alpha: Array, beta: Array) -> Array:
    """k·DF^α·N^β: the tokens that a model from scratch would need beyond DF to do as well (equation 1.1)."""
    return k * DF**alpha * N**beta


TRANSFER = Law(
    transfer,
    "Hernandez 2021, equation 1.1",
    {"alpha": (0.2, 0.8), "beta": (0.2, 0.8)},
    linear=("k",),
    bounds={"alpha": POWER, "beta": POWER},
    output="DT",
    objective="mse-log",
    units={"DF": "tokens", "N": "parameters", "DT": "tokens"},
    columns={
        "DF": "df d_f finetune_tokens fine_tuning_tokens finetuning_tokens",
        "DT": "dt d_t effective_data_transferred data_transferred tokens_transferred",
    },
)
