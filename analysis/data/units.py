"""Units of a source's columns: counts in millions or billions, FLOPs in PF-days, losses in bits or as perplexity.

Key: N parameters, D tokens, C FLOPs, L nats a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import DataError

DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Unit:
    """value = factor · cell, or its natural logarithm where `log`."""

    name: str
    factor: float = 1.0
    log: bool = False

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.log(cells) if self.log else self.factor * cells


def _units(*rows: tuple[str, float]) -> dict[str, Unit]:
    return {word: Unit(words.split()[0], factor) for words, factor in rows for word in words.split()}


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
    ("pfdays pf-days pf_days pfday pf-day pflopsdays petaflop/s-days pflop/s-days", 1e15 * DAY),
    ("efdays ef-days", 1e18 * DAY),
)
LOSSES = {
    **_units(
        ("nats nat", 1.0),
        ("bits bit", float(np.log(2))),
        ("dits dit", float(np.log(10))),
        ("bits/byte bpb", 1.0),  # stays what it is: without bytes a token it is no nats a token
    ),
    **dict.fromkeys(("perplexity", "ppl"), Unit("perplexity", log=True)),
}
SAID = {
    "L": "nats, bits, dits, perplexity, bits/byte",
    "C": "flops, pfdays, petaflops, exaflops, zettaflops or a number such as 1e21",
    "": "thousands, millions, billions, trillions or a number such as 1e6",
}
WORDS = {  # of a name's end that say a unit
    **{w: u for w, u in COUNTS.items() if len(w) > 2},
    **{w: u for w, u in FLOPS.items() if len(w) > 5 and "-" not in w},
    **{w: LOSSES[w] for w in ("nats", "bits")},
}
LETTERS = {w: COUNTS[w] for w in "kmbt"}


def known(letter: str) -> dict[str, Unit]:
    """Units that a letter can have, by name."""
    return LOSSES if letter == "L" else {**COUNTS, **FLOPS} if letter in ("C", "budget") else COUNTS


def unit(letter: str, name: str) -> Unit:
    """The unit of that name for a letter. Raises DataError that lists those it can have."""
    found = known(letter).get(name.strip().lower())
    if found is not None:
        return found
    if letter != "L":
        try:
            factor = float(name)
        except ValueError:
            factor = np.nan
        if np.isfinite(factor) and factor > 0:
            return Unit(f"{factor:g}", factor)
    said = SAID.get("C" if letter == "budget" else letter, SAID[""])
    raise DataError(f"units {letter}={name}: allowed are {said}")


def given(units: Mapping[str, str] | None, letters: tuple[str, ...]) -> dict[str, Unit]:
    """The units that a person names, by letter; a budget has those of C. Raises DataError."""
    units = dict(units or {})
    unknown = sorted(set(units) - set(letters))
    if unknown:
        raise DataError(f"units {', '.join(unknown)}: allowed are {', '.join(letters)}")
    if "C" in units:
        units.setdefault("budget", units["C"])
    return {letter: unit(letter, name) for letter, name in units.items()}


def in_name(name: str) -> list[tuple[str, str | None]]:
    """What a column's name may mean, its end taken for a unit or not: [(name without unit, unit), ...]."""
    found: list[tuple[str, str | None]] = [(name, None)]
    bracket = re.fullmatch(r"(.*?)\s*[(\[](?:in )?(.*?)[)\]]\s*", name)
    if bracket and bracket[1]:
        said = bracket[2].strip().lower().removesuffix(" tokens").removesuffix(" parameters").replace(" ", "")
        found.append((bracket[1], said))
    tail = re.fullmatch(r"(.+?)(?:[ _-]in)?(?:[ _-]|(?<=[a-z])(?=[BMKT]$))([A-Za-z]+)", name)
    if tail and (tail[2].lower() in WORDS or (tail[2].lower() in LETTERS and len(tail[1]) > 2)):
        found.append((tail[1], tail[2].lower()))
    return found


LARGEST = {"N": 1e13, "D": 1e16, "C": 1e29, "budget": 1e29}  # beyond these a unit guessed from a name is not believed


def believed(letter: str, unit: Unit, cells: np.ndarray) -> bool:
    """Whether a guessed unit gives sizes that a run can have."""
    known = cells[np.isfinite(cells)]
    return not len(known) or bool(np.median(unit(known)) <= LARGEST.get(letter, np.inf))


def doubts(letter: str, values: np.ndarray) -> list[str]:
    """What looks like another unit than ours: said, not mended."""
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    span = f"{letter} from {known.min():.3g} to {known.max():.3g}"
    if letter in ("N", "D") and known.max() < 1e3:
        return [f"{span}: if these are millions or billions, say --units {letter}=billions"]
    if letter == "C" and known.max() < 1e6:
        return [f"{span}: if these are PF-days or a multiple of FLOPs, say --units C=pfdays or C=1e21"]
    if letter == "L" and known.max() > 15:
        return [f"{span}: more than ln of any vocabulary: if this is perplexity, say --units L=perplexity"]
    return []
