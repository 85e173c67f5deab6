"""The laws of the field by name. A new one is a function and its Law in a file here, and a line below."""

from __future__ import annotations

from analysis.laws import (
    broken,
    curves,
    experts,
    hyper,
    kaplan,
    optimal,
    overtraining,
    powers,
    repeats,
    reward,
    sae,
    schedules,
    tasks,
    transfer,
)
from analysis.laws.chinchilla import CHINCHILLA, chinchilla, chinchilla_optimum
from analysis.laws.law import Law, given
from analysis.where import DataError

__all__ = ["APPROACHES", "LAWS", "NAMES", "Law", "chinchilla", "chinchilla_optimum", "find", "given"]

LAWS: dict[str, Law] = {
    "chinchilla": CHINCHILLA,
    "over-training": overtraining.OVER_TRAINING,
    "data-constrained": repeats.DATA_CONSTRAINED,
    "error": tasks.ERROR,
    "sigmoid": tasks.SIGMOID,
    "two-step": tasks.TWO_STEP,
    "kaplan-n": powers.KAPLAN_N,
    "kaplan-d": powers.KAPLAN_D,
    "kaplan-c": powers.KAPLAN_C,
    "power-n": powers.POWER_N,
    "power-d": powers.POWER_D,
    "power-c": powers.POWER_C,
    "m1": curves.M1,
    "m2": curves.M2,
    "m3": curves.M3,
    "m4": curves.M4,
    "bnsl": broken.BNSL_1,
    "bnsl-1": broken.BNSL_1,
    "bnsl-2": broken.BNSL_2,
    "bnsl-3": broken.BNSL_3,
    "multi-power": schedules.MULTI_POWER,
    "tissue": schedules.TISSUE,
    "optimal-n": optimal.OPTIMAL_N,
    "optimal-d": optimal.OPTIMAL_D,
    "kaplan-nd": kaplan.KAPLAN_ND,
    "kaplan-ns": kaplan.KAPLAN_NS,
    "kaplan-nsb": kaplan.KAPLAN_NSB,
    "critical-batch": kaplan.CRITICAL_BATCH,
    "transfer": transfer.TRANSFER,
    "routing": experts.ROUTING,
    "granularity": experts.GRANULARITY,
    "sae-n": sae.SAE_N,
    "sae-nk": sae.SAE_NK,
    "reward-bon": reward.REWARD_BON,
    "reward-rl": reward.REWARD_RL,
    "step-law-lr": hyper.STEP_LAW_LR,
    "step-law-batch": hyper.STEP_LAW_BATCH,
    "deepseek-lr": hyper.DEEPSEEK_LR,
    "deepseek-batch": hyper.DEEPSEEK_BATCH,
}
APPROACHES = {
    "chinchilla-1": "Hoffmann 2022, approach 1: the lowest loss over runs at each C",
    "chinchilla-2": "Hoffmann 2022, approach 2: a parabola in ln N for each budget",
}
NAMES = (*LAWS, *APPROACHES)


def find(name: str) -> Law:
    """The law of that name, or of a file of your own (FILE.py:FUNCTION). Raises DataError that lists the known."""
    if ".py:" in name:
        from analysis.laws import own

        return own.load(name)
    if name not in LAWS:
        raise DataError(f"law {name!r}: known are {', '.join(NAMES)}, or your own: FILE.py:FUNCTION")
    return LAWS[name]
