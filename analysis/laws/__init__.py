"""Scaling laws by name, in sub-packages by the quantity that they predict.

`LAWS` contains the built-in laws and `APPROACHES` the approaches that only estimate optima. `find` returns a law by its
name, and `custom` loads a law from a user's file. To add a law, define its function and `Law` in a module of a
sub-package and add a line to `LAWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis.errors import DataError
from analysis.laws import custom
from analysis.laws.curve import broken_power, saturating, schedules
from analysis.laws.downstream import accuracy
from analysis.laws.interpretability import sparse_autoencoder
from analysis.laws.law import Law, constrain
from analysis.laws.loss import data_constrained, experts, kaplan, over_training, power_laws
from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla, chinchilla_optimum
from analysis.laws.post_training import reward_model, transfer
from analysis.laws.recipe import compute_optimal, hyperparameters
from scaling.config.user_code import parse_reference

__all__ = ["APPROACHES", "LAWS", "NAMES", "Law", "chinchilla", "chinchilla_optimum", "constrain", "find", "law_name"]

LAWS: dict[str, Law] = {
    "chinchilla": CHINCHILLA,
    "over-training": over_training.OVER_TRAINING,
    "data-constrained": data_constrained.DATA_CONSTRAINED,
    "data-constrained-exponential": data_constrained.DATA_CONSTRAINED,
    "data-constrained-geometric": data_constrained.GEOMETRIC,
    "error": accuracy.ERROR,
    "sigmoid": accuracy.SIGMOID,
    "two-step": accuracy.TWO_STEP,
    "kaplan-n": power_laws.KAPLAN_N,
    "kaplan-d": power_laws.KAPLAN_D,
    "kaplan-c": power_laws.KAPLAN_C,
    "power-n": power_laws.POWER_N,
    "power-d": power_laws.POWER_D,
    "power-c": power_laws.POWER_C,
    "m1": saturating.M1,
    "m2": saturating.M2,
    "m3": saturating.M3,
    "m4": saturating.M4,
    "bnsl": broken_power.BNSL_1,
    "bnsl-1": broken_power.BNSL_1,
    "bnsl-2": broken_power.BNSL_2,
    "bnsl-3": broken_power.BNSL_3,
    "multi-power": schedules.MULTI_POWER,
    "tissue": schedules.TISSUE,
    "optimal-n": compute_optimal.OPTIMAL_N,
    "optimal-d": compute_optimal.OPTIMAL_D,
    "kaplan-nd": kaplan.KAPLAN_ND,
    "kaplan-ns": kaplan.KAPLAN_NS,
    "kaplan-nsb": kaplan.KAPLAN_NSB,
    "critical-batch": kaplan.CRITICAL_BATCH,
    "transfer": transfer.TRANSFER,
    "routing": experts.ROUTING,
    "granularity": experts.GRANULARITY,
    "sae-n": sparse_autoencoder.SAE_N,
    "sae-nk": sparse_autoencoder.SAE_NK,
    "reward-bon": reward_model.REWARD_BON,
    "reward-rl": reward_model.REWARD_RL,
    "step-law-lr": hyperparameters.STEP_LAW_LR,
    "step-law-batch": hyperparameters.STEP_LAW_BATCH,
    "deepseek-lr": hyperparameters.DEEPSEEK_LR,
    "deepseek-batch": hyperparameters.DEEPSEEK_BATCH,
}
APPROACHES = {
    "chinchilla-1": "Hoffmann 2022, approach 1: the lowest loss over runs at each C",
    "chinchilla-2": "Hoffmann 2022, approach 2: a parabola in ln N for each budget",
}
NAMES = (*LAWS, *APPROACHES)


def find(law: str | Law | Callable[..., Any]) -> Law:
    """Returns a law.

    Args:
        law: Name of a built-in law; a user's own, FILE.py:FUNCTION or package.module:FUNCTION; a `Law`, which is
            returned; or a function of inputs and parameters (`custom.law_from_function`).

    Raises:
        DataError: The name is unknown, or the user's law is not valid.
    """
    if isinstance(law, Law):
        return law
    if not isinstance(law, str):
        return custom.own_law(law, law_name(law))
    if parse_reference(law) is not None:
        return custom.load_law(law)
    if law not in LAWS:
        raise DataError(
            f"law {law!r}: must be one of {', '.join(NAMES)}, or your own FILE.py:FUNCTION or package.module:FUNCTION"
        )
    return LAWS[law]


def law_name(law: str | Law | Callable[..., Any]) -> str:
    """Returns the name of a law: as given, or that of its function."""
    return law if isinstance(law, str) else (law.function if isinstance(law, Law) else law).__name__
