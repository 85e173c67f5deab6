"""Units of columns: counts in millions or billions, FLOPs in PF-days, losses per token, byte or character.

Key: N parameters, D tokens, C FLOPs, L loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import DataError
from analysis.laws.law import LOSS_UNIT

SECONDS_PER_DAY = 86400.0
LARGEST_PLAUSIBLE = {
    "N": 1e13,
    "D": 1e16,
    "C": 1e29,
    "budget": 1e29,
}  # a unit guessed from a name is ignored above this


@dataclass(frozen=True)
class Unit:
    """Conversion of a column to parameters, tokens, FLOPs or a loss.

    Attributes:
        name: Name in notes and errors.
        factor: Factor that cells are multiplied by.
        log: Whether the value is the natural logarithm of the cell, as for perplexity.
        loss_unit: Unit of a loss after the conversion, as it is printed.
    """

    name: str
    factor: float = 1.0
    log: bool = False
    loss_unit: str = LOSS_UNIT

    @property
    def is_identity(self) -> bool:
        """Whether the cells are not converted."""
        return self.factor == 1 and not self.log

    def convert(self, cells: np.ndarray) -> np.ndarray:
        """Converts cells (n,) of a column."""
        with np.errstate(all="ignore"):
            return np.log(cells) if self.log else self.factor * cells

    def convert_errors(self, errors: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Converts standard errors (n,) of the cells (n,) of a column."""
        with np.errstate(all="ignore"):
            return errors / cells if self.log else self.factor * errors


def _units(*rows: tuple[str, float]) -> dict[str, Unit]:
    return {name: Unit(names.split()[0], factor) for names, factor in rows for name in names.split()}


def _loss_units(quantity: str, names: str, per: tuple[str, ...], factor: float, log: bool) -> dict[str, Unit]:
    """Units of a loss per token, byte, character or word, under every combination of the names.

    Only a loss per token is converted to nats. How many bytes or characters a token has is not known, so bits per
    byte stay bits per byte.
    """
    units: dict[str, Unit] = {}
    for denominator in per:
        kind = {"char": "character"}.get(denominator, denominator)
        if kind == "token" or log:
            name = quantity if kind == "token" else f"{kind} {quantity}"
            unit = Unit(name, factor, log, f"nats per {kind}")
        else:
            unit = Unit(f"{quantity}/{kind}", 1.0, False, f"{quantity} per {kind}")
        for alias in names.split():
            units |= {f"{alias}/{denominator}": unit, f"{alias}/{denominator}s": unit}
            units |= {f"{denominator}{alias}": unit} if log else {}
            units |= {alias: unit} if kind == "token" else {}
    return units


COUNTS = _units(
    ("units one ones", 1.0),
    ("thousands thousand k", 1e3),
    ("millions million m mn mio", 1e6),
    ("billions billion b bn g", 1e9),
    ("trillions trillion t tn", 1e12),
)
FLOPS = _units(
    ("flops flop", 1.0),
    ("gigaflops gigaflop gflops gflop", 1e9),
    ("teraflops teraflop tflops tflop", 1e12),
    ("petaflops petaflop pflops pflop peta p", 1e15),
    ("exaflops exaflop eflops eflop exa e", 1e18),
    ("zettaflops zettaflop zflops zflop zetta z", 1e21),
    ("yottaflops yottaflop yflops yflop yotta y", 1e24),
    (
        "pfdays pfday pflopdays pflopday pflopsdays pflopsday petaflopdays petaflopday petaflopsdays petaflopsday "
        "pflop/sdays pflop/sday pflops/sdays pflops/sday petaflop/sdays petaflop/sday petaflops/sdays petaflops/sday "
        "pf/sdays pf/sday",
        1e15 * SECONDS_PER_DAY,
    ),
    (
        "efdays efday eflopdays eflopday eflopsdays exaflopdays exaflopday exaflop/sdays exaflop/sday eflop/sdays "
        "eflop/sday",
        1e18 * SECONDS_PER_DAY,
    ),
)
SHARES = {**_units(("share fraction", 1.0)), **_units(("percent % pct", 0.01))}
SHARE_LETTERS = ("Acc", "Err")  # scores of laws, which are shares
DENOMINATORS = ("token", "byte", "char", "character", "word")
LOSSES = {
    **_loss_units("nats", "nats nat", DENOMINATORS, 1.0, False),
    **_loss_units("bits", "bits bit", DENOMINATORS, float(np.log(2)), False),
    **_loss_units("dits", "dits dit", ("token",), float(np.log(10)), False),
    **_loss_units("perplexity", "perplexity ppl", DENOMINATORS, 1.0, True),
}
LOSSES |= {"bpb": LOSSES["bits/byte"], "bpc": LOSSES["bits/char"], "bpt": LOSSES["bits"], "bpw": LOSSES["bits/word"]}
ALLOWED_UNITS = {  # for error messages
    "L": "nats, bits, dits, perplexity (per token), bits/byte, bits/char, nats/byte, nats/char, bits/word",
    **dict.fromkeys(SHARE_LETTERS, "share, percent or a number such as 0.01"),
    "C": "flops, pfdays, petaflops, exaflops, zettaflops or a number such as 1e21",
    "": "thousands, millions, billions, trillions or a number such as 1e6",
}
FLOP_PREFIX = re.compile(  # EFLOPs, train_tflops, TFLOPs total
    r"(?:(.+?)[ _./-])?([A-Za-z]+flops?)(?:[ _./-](?:total|train|training|used))?", re.IGNORECASE
)
NAME_SUFFIXES = {  # last words in the name of a column that are units
    **{name: unit for name, unit in COUNTS.items() if len(name) > 2},
    **{name: unit for name, unit in FLOPS.items() if len(name) > 4},
    **{name: LOSSES[name] for name in ("nats", "bits")},
}
LETTER_SUFFIXES = frozenset("kmbt")  # last letters in the name of a column that are units, as in params_B
TAIL = re.compile(r"(.+?)(?:[ _-]in)?(?:[ _-]|(?<=[a-z])(?=[BMKT]$))([A-Za-z]+(?:/s)?(?:(?<=[fFsS])[-_ ][dD]ays?)?)")
NUMBER_TAIL = re.compile(r"(.+?)(?:[\s_]*[/x*×]|[\s_])[\s_]*(\d+(?:\.\d+)?e\+?\d+|e\d+|10\^\d+)", re.IGNORECASE)
POWER_OF_TEN = re.compile(r"(?:(\d+(?:\.\d+)?)[x*·])?10(?:\^|\*\*)\{?\+?(\d{1,2})\}?")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
COUNTED = re.compile(
    r"(?:of)?(?:training)?(?:tokens?|toks?|parameters?|params?)$"
)  # what a unit counts, as in "B tokens"


def units_of_letter(letter: str) -> dict[str, Unit]:
    """Returns the units that the column of a letter can have, by name."""
    if letter in SHARE_LETTERS:
        return SHARES
    return LOSSES if letter == "L" else {**COUNTS, **FLOPS} if letter in ("C", "budget") else COUNTS


def parse_unit(letter: str, name: str) -> Unit:
    """Returns the unit with a name.

    Args:
        letter: Letter of the column: N, D, C, L, budget or a letter of a law.
        name: Name of a unit such as "bits per byte", "PF-days" or "B tokens", or a number that the cells are
            multiplied by, also as "x1e18", "10^18" or "1e18 FLOPs".

    Raises:
        DataError: The unit is unknown. The message lists the units that the letter can have.
    """
    units, text = units_of_letter(letter), name.strip().lower()
    if letter == "L":
        text = re.sub(r"[\s_]*(?:\bper\b|_per_|/)[\s_]*", "/", text)
    key = re.sub(r"[\s_-]", "", text)
    unit = units.get(key)
    if unit is None and letter != "L":
        unit = units.get(COUNTED.sub("", key) or "units") or _number_unit(letter, key)
    if unit is not None:
        return unit
    allowed = ALLOWED_UNITS.get("C" if letter == "budget" else letter, ALLOWED_UNITS[""])
    raise DataError(f"units {letter}={name}: allowed are {allowed}")


def _number_unit(letter: str, key: str) -> Unit | None:
    """Unit of a number that cells are multiplied by, such as 1e18, x1e18, 10^18 or 1e18flops; None for other text."""
    key = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda power: "^" + power[0].translate(SUPERSCRIPTS), key).replace("×", "x")
    key = COUNTED.sub("", key).lstrip("x*·/")
    if letter in ("C", "budget"):
        key = re.sub(r"flops?$", "", key)
    power = POWER_OF_TEN.fullmatch(key)
    if power:
        factor = float(power[1] or 1) * 10.0 ** int(power[2])
    elif re.fullmatch(r"\d+(?:\.\d*)?(?:e\+?-?\d+)?|\.\d+", key):
        factor = float(key)
    else:
        return None
    return Unit(f"{factor:g}", factor) if 0 < factor < np.inf else None


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
    percent = re.fullmatch(r"(.+?)[\s_]*[(\[]?(?:in )?%[)\]]?\s*", name)
    if percent:
        return [(percent[1], "%")]
    readings: list[tuple[str, str | None]] = [(name, None)]
    bracket = re.fullmatch(r"(.*?)\s*[(\[](?:in )?(.*?)[)\]]\s*", name)
    if bracket and bracket[1]:
        readings.append((bracket[1], bracket[2].strip().lower()))
    tail = TAIL.fullmatch(name)
    if tail:
        unit = re.sub(r"[-_ ]", "", tail[2].lower())
        if unit in NAME_SUFFIXES or (unit in LETTER_SUFFIXES and len(tail[1]) > 2):
            readings.append((tail[1], unit))
    prefixed = FLOP_PREFIX.fullmatch(name)
    if prefixed and prefixed[2].lower() in FLOPS:
        readings.append((f"{prefixed[1]}_flops" if prefixed[1] else "flops", prefixed[2].lower()))
    whole = re.sub(r"[-_ ]", "", name.lower())
    if whole in FLOPS and "day" in whole:  # PF-days
        readings.append(("flops", whole))
    number = NUMBER_TAIL.fullmatch(name)
    if number:
        readings.append((number[1], f"1{number[2]}" if number[2][0] in "eE" else number[2]))
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
        letter: N, D, C, L or a score; there are no warnings for other letters.
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
    if letter in SHARE_LETTERS and finite.max() > 1:
        return [f"{span}: if these are percent, use --units {letter}=percent"]
    return []
