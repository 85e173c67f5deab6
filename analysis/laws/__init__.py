"""The laws of the field by name. A new one is a function and its Law in a file here, and a line below."""

from __future__ import annotations

from analysis.laws import optimal, overtraining, powers, repeats, tasks
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
    "kaplan-n": powers.KAPLAN_N,
    "kaplan-d": powers.KAPLAN_D,
    "kaplan-c": powers.KAPLAN_C,
    "power-n": powers.POWER_N,
    "power-d": powers.POWER_D,
    "power-c": powers.POWER_C,
    "optimal-n": optimal.OPTIMAL_N,
    "optimal-d": optimal.OPTIMAL_D,
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
