"""Quote of a sweep on a slice: time, chip-hours, dollars, energy and CO2, from exact FLOPs and a price table.

seconds = FLOPs / (chips · peak · MFU), with the runs trained one after the other on the whole slice. MFU is the model
FLOPs utilisation (Chowdhery 2022, appendix B). Compilation, evaluation and waiting are not added; an MFU measured over
a whole sweep includes them. For shapes that `check --topology` has compiled, the compiler's step time is used if it is
longer.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.counting.peak_flops import ACCELERATORS
from sweeps.errors import SweepError
from sweeps.format import duration, short_count

PRICES = Path(__file__).with_name("prices.json")
CHIP_FIELDS = ("peak_flops", "usd", "usd_spot", "watts")
OPTIONAL_CHIP_FIELDS = ("named_by",)
TABLE_FIELDS = ("host_watts", "pue", "kg_co2_per_kwh")


@dataclass(frozen=True, kw_only=True)
class PricedSlice:
    """Chips of one kind and their prices.

    Attributes:
        name: Name of the slice, such as v5e-16.
        chips: Number of chips.
        peak_flops: Peak bfloat16 FLOP/s per chip.
        usd: Dollars per chip-hour.
        watts: Watts per chip, including its share of host and data centre.
        kg_co2_per_kwh: Carbon intensity of the electricity.
        spot: Whether `usd` is the spot price.
        date: Date of the prices.
        table: File of the prices.
    """

    name: str
    chips: int
    peak_flops: float
    usd: float
    watts: float
    kg_co2_per_kwh: float
    spot: bool
    date: str
    table: str


def load_prices(path: Path = PRICES) -> dict[str, Any]:
    """Reads a price table; raises SweepError for an entry that is missing or not a positive number.

    Args:
        path: The table. A kind of chip of `scaling.counting.peak_flops` without a peak rate gets the published one.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SweepError(f"{path}: not a price table: {error}: copy {PRICES} and edit it") from None
    required = [(table, name, name) for name in TABLE_FIELDS]
    chips = table.get("chips") if isinstance(table, dict) else None
    if not isinstance(chips, dict) or not chips or not isinstance(table.get("date"), str):
        raise SweepError(f"{path}: a price table must have `chips` and a `date`: copy {PRICES} and edit it")
    for kind, chip in chips.items():
        if isinstance(chip, dict) and kind in ACCELERATORS:  # a table may have its own rate
            published = ACCELERATORS[kind]
            chips[kind] = chip = {
                "peak_flops": published.rates["bfloat16"], "peak_source": published.source, **chip
            }  # fmt: skip
        names = (*CHIP_FIELDS, *(name for name in OPTIONAL_CHIP_FIELDS if isinstance(chip, dict) and name in chip))
        required += [(chip, name, f"chips.{kind}.{name}") for name in names]
    for holder, name, label in required:
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise SweepError(f"{path}: {label} = {value!r}: must be a number above 0")
    return dict(table)


def priced_slice(name: str, path: Path = PRICES, spot: bool = False) -> PricedSlice:
    """Returns a slice such as v5e-16 with the prices of a table; raises SweepError for an unknown kind of chip.

    Args:
        name: Name of the slice.
        path: The price table.
        spot: Whether to use the spot price.
    """
    table = load_prices(path)
    kind, _, size = name.partition("-")
    chip = table["chips"].get(kind)
    if chip is None:
        known = ", ".join(f"{each}-8" for each in table["chips"])
        raise SweepError(f"--slice {name}: must be a kind of chip of {path} with a size, such as {known}")
    return PricedSlice(
        name=name,
        chips=slice_chips(name, kind, size, chip.get("named_by", 1)),
        peak_flops=float(chip["peak_flops"]),
        usd=float(chip["usd_spot" if spot else "usd"]),
        watts=(float(chip["watts"]) + float(table["host_watts"])) * float(table["pue"]),
        kg_co2_per_kwh=float(table["kg_co2_per_kwh"]),
        spot=spot,
        date=table["date"],
        table=str(path),
    )


def slice_chips(name: str, kind: str, size: str, name_units: float) -> int:
    """Returns the number of chips of a slice.

    Args:
        name: Name of the slice, for messages.
        kind: Kind of chip, a TPU generation (scaling/counting/tpu.py) or one that the price table adds.
        size: Number in the name.
        name_units: For kinds that the price table adds: ratio of the number in the name to the number of chips.

    Raises:
        SweepError: There is no slice of that size.
    """
    from scaling.counting.tpu import GENERATIONS, count_chips

    if kind in GENERATIONS:
        if size not in map(str, GENERATIONS[kind].slices):
            raise SweepError(
                f"--slice {name}: must be one of {', '.join(f'{kind}-{number}' for number in GENERATIONS[kind].slices)}"
            )
        return count_chips(GENERATIONS[kind].slices[int(size)])
    count = int(size) / name_units if re.fullmatch("[1-9][0-9]{0,6}", size) else 0
    if not count or count % 1:
        raise SweepError(f"--slice {name}: must be {kind} and a number, such as {kind}-{8 * name_units:g} for 8 chips")
    return int(count)


def quote_flops(flops: float, priced: PricedSlice, mfu: float, extra_seconds: float = 0.0) -> dict[str, Any]:
    """Quotes training FLOPs on a slice.

    Args:
        flops: Training FLOPs.
        priced: The slice.
        mfu: Model FLOPs utilisation, in (0, 1].
        extra_seconds: Additional seconds beyond the FLOPs at the MFU (sweeps/cost/compiled_time.py).

    Returns:
        Seconds, chip-hours, dollars, kWh, kg of CO2, and the source and date of the prices.
    """
    if not 0 < mfu <= 1:
        raise SweepError(f"--mfu {mfu:g}: must be above 0 and at most 1, such as 0.4")
    seconds = flops / (priced.chips * priced.peak_flops * mfu) + extra_seconds
    hours = priced.chips * seconds / 3600
    kwh = hours * priced.watts / 1000
    return {
        "slice": priced.name,
        "chips": priced.chips,
        "mfu": mfu,
        **({"seconds_beyond_mfu": extra_seconds} if extra_seconds else {}),
        "spot": priced.spot,
        "seconds": seconds,
        "chip_hours": hours,
        "usd": hours * priced.usd,
        "kwh": kwh,
        "kg_co2": kwh * priced.kg_co2_per_kwh,
        "prices": priced.table,
        "prices_of": priced.date,
    }


def as_text(quote: dict[str, Any]) -> str:
    """Formats a quote and the origin of its prices."""
    pricing = "spot" if quote["spot"] else "on demand"
    rate = f"{quote['mfu']:.0%} of peak" + (", or the compiler's step time" if "seconds_beyond_mfu" in quote else "")
    return (
        f"on {quote['slice']} ({quote['chips']} chips, {pricing}) at {rate}: {duration(quote['seconds'])}, "
        f"{short_count(quote['chip_hours'])} chip-hours, ${quote['usd']:,.2f}, {short_count(quote['kwh'])} kWh, "
        f"{short_count(quote['kg_co2'])} kg CO2\n"
        f"prices of {quote['prices_of']} from {quote['prices']}; spot prices and watts are partly assumed "
        "(--prices FILE for another table)"
    )
