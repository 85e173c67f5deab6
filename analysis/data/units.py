"""Units of columns: counts in millions or billions, FLOPs in PF-days, losses in bits or as perplexity.

Key: N parameters, D tokens, C FLOPs, L loss in nats per token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import DataError

SECONDS_PER_DAY = 86400.0
LARGEST_PLAUSIBLE = {
    "N": 1e13,
    "D": 1e16,
    "C": 1e29,
    "budget": 1e29,
}  # a unit guessed from a name is ignored above this


@dataclass(frozen=True)
class Unit:
    """Conversion of a column to parameters, tokens, FLOPs or nats per token.

    Attributes:
        name: Name in notes and errors.
        factor: Factor that cells are multiplied by.
        log: Whether the value is the natural logarithm of the cell, as for perplexity.
    """

    name: str
    factor: float = 1.0
    log: bool = False

    def convert(self, cells: np.ndarray) -> np.ndarray:
        """Converts cells (n,) of a column."""
        with np.errstate(all="ignore"):
            return np.log(cells) if self.log else self.factor * cells


def _units(*rows: tuple[str, float]) -> dict[str, Unit]:
    return {name: Unit(names.split()[0], factor) for names, factor in rows for name in names.split()}


COUNTS = _units(
    ("units one ones", 1.0),
    ("thousands thousand k", 1e3),
    ("millions million m mn mio", 1e6),
    ("billions billion b bn g", 1e9),
    ("trillions trillion t tn", 1e12),
)
FLOPS = _units(
    ("flops flop", 1.0),
    ("gigaflops gflops gflop", 1e9),
    ("teraflops tflops tflop", 1e12),
    ("petaflops pflops pflop", 1e15),
    ("exaflops eflops eflop", 1e18),
    ("zettaflops zflops zflop", 1e21),
    ("yottaflops yflops yflop", 1e24),
    ("pfdays pf-days pf_days pfday pf-day pflopsdays petaflop/s-days pflop/s-days", 1e15 * SECONDS_PER_DAY),
    ("efdays ef-days", 1e18 * SECONDS_PER_DAY),
)
LOSSES = {
    **_units(
        ("nats nat", 1.0),
        ("bits bit", float(np.log(2))),
        ("dits dit", float(np.log(10))),
        ("bits/byte bpb", 1.0),  # not converted: the number of bytes per token is unknown
    ),
    **dict.fromkeys(("perplexity", "ppl"), Unit("perplexity", log=True)),
}
ALLOWED_UNITS = {  # for error messages
    "L": "nats, bits, dits, perplexity, bits/byte",
    "C": "flops, pfdays, petaflops, exaflops, zettaflops or a number such as 1e21",
    "": "thousands, millions, billions, trillions or a number such as 1e6",
}
NAME_SUFFIXES = {  # last words in the name of a column that are units
    **{name: unit for name, unit in COUNTS.items() if len(name) > 2},
    **{name: unit for name, unit in FLOPS.items() if len(name) > 5 and "-" not in name},
    **{name: LOSSES[name] for name in ("nats", "bits")},
}
LETTER_SUFFIXES = frozenset("kmbt")  # last letters in the name of a column that are units, as in params_B


def units_of_letter(letter: str) -> dict[str, Unit]:
    """Returns the units that the column of a letter can have, by name."""
    return LOSSES if letter == "L" else {**COUNTS, **FLOPS} if letter in ("C", "budget") else COUNTS


def parse_unit(letter: str, name: str) -> Unit:
    """Returns the unit with a name.

    Args:
        letter: Letter of the column: N, D, C, L, budget or a letter of a law.
        name: Name of a unit, or a number that the cells are multiplied by.

    Raises:
        DataError: The unit is unknown. The message lists the units that the letter can have.
    """
    unit = units_of_letter(letter).get(name.strip().lower())
    if unit is not None:
        return unit
    if letter != "L":
        try:
            factor = float(name)
        except ValueError:
            factor = np.nan
        if np.isfinite(factor) and factor > 0:
            return Unit(f"{factor:g}", factor)
    allowed = ALLOWED_UNITS.get("C" if letter == "budget" else letter, ALLOWED_UNITS[""])
    raise DataError(f"units {letter}={name}: allowed are {allowed}")


def parse_units(names: Mapping[str, str], letters: tuple[str, ...]) -> dict[str, Unit]:
    """Returns the units that the user named, by letter. A budget has the unit of C by default.

    Args:
        names: Name of a unit by letter.
        letters: Letters that can have a unit.

    Raises:
        DataError: Unknown letter or unit.
    """
    unknown = sorted(set(names) - set(letters))
    if unknown:
        raise DataError(f"units {', '.join(unknown)}: allowed are {', '.join(letters)}")
    names = {"budget": names["C"], **names} if "C" in names else names
    return {letter: parse_unit(letter, name) for letter, name in names.items()}


def split_unit(name: str) -> list[tuple[str, str | None]]:
    """Returns the possible readings of the name of a column: without a unit, and with its end as the unit.

    Returns:
        Pairs of a name and a unit, None for the whole name.
    """
    readings: list[tuple[str, str | None]] = [(name, None)]
    bracket = re.fullmatch(r"(.*?)\s*[(\[](?:in )?(.*?)[)\]]\s*", name)
    if bracket and bracket[1]:
        unit = bracket[2].strip().lower().removesuffix(" tokens").removesuffix(" parameters").replace(" ", "")
        readings.append((bracket[1], unit))
    tail = re.fullmatch(r"(.+?)(?:[ _-]in)?(?:[ _-]|(?<=[a-z])(?=[BMKT]$))([A-Za-z]+)", name)
    if tail and (tail[2].lower() in NAME_SUFFIXES or (tail[2].lower() in LETTER_SUFFIXES and len(tail[1]) > 2)):
        readings.append((tail[1], tail[2].lower()))
    return readings


def is_plausible(letter: str, unit: Unit, cells: np.ndarray) -> bool:
    """Returns whether a unit guessed from the name of a column gives plausible sizes.

    Args:
        letter: N, D, C or budget; every unit is plausible for other letters.
        unit: The guessed unit.
        cells: Cells of the column (n,), not converted.
    """
    finite = cells[np.isfinite(cells)]
    return not len(finite) or bool(np.median(unit.convert(finite)) <= LARGEST_PLAUSIBLE.get(letter, np.inf))


def unit_warnings(letter: str, values: np.ndarray) -> list[str]:
    """Returns warnings of values that suggest another unit; the values are not converted.

    Args:
        letter: N, D, C or L; there are no warnings for other letters.
        values: Values (n,) as they were read.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return []
    span = f"{letter} from {finite.min():.3g} to {finite.max():.3g}"
    if letter in ("N", "D") and finite.max() < 1e3:
        return [f"{span}: if these are millions or billions, use --units {letter}=billions"]
    if letter == "C" and finite.max() < 1e6:
        return [f"{span}: if these are PF-days or a multiple of FLOPs, use --units C=pfdays or C=1e21"]
    if letter == "L" and finite.max() > 15:
        return [f"{span}: exceeds ln of any vocabulary size: if this is perplexity, use --units L=perplexity"]
    return []
