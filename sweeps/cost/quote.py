"""What a sweep costs on a slice: chip-hours, dollars, energy, CO2 and wall-clock, from exact FLOPs and a price table.

seconds = FLOPs / (chips · peak · MFU), one run after the other on the whole slice. MFU is model FLOPs utilisation:
these FLOPs over the chips' peak (Chowdhery 2022, appendix B). Compilation, evaluation and waiting for a slice are in
the MFU or nowhere: an MFU that was measured over a whole sweep holds them. Steps of a shape that `check --topology`
has compiled, and that take longer by the compiler's own account, are quoted by that.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import SweepError
from sweeps.format import duration, short

PRICES = Path(__file__).with_name("prices.json")
NEEDED = ("peak_flops", "usd", "usd_spot", "watts")
OPTIONAL = ("named_by",)
SHARED = ("host_watts", "pue", "kg_co2_per_kwh")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Chips of one kind, and what they cost. usd: a chip-hour; watts: a chip with its host and the building."""

    name: str
    chips: int
    peak_flops: float  # bfloat16 FLOP/s a chip
    usd: float
    watts: float
    kg_co2_per_kwh: float
    spot: bool
    date: str  # of the prices
    table: str  # their file


def prices(path: Path = PRICES) -> dict[str, Any]:
    """The price table; SweepError names the file and what is missing or no number above 0."""
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SweepError(f"{path}: not a price table: {error}; copy {PRICES.name} of sweeps and edit it") from None
    wanted = [(table, name, name) for name in SHARED]
    chips = table.get("chips") if isinstance(table, dict) else None
    if not isinstance(chips, dict) or not chips or not isinstance(table.get("date"), str):
        raise SweepError(f"{path}: a price table has `chips` and a `date`: copy {PRICES.name} of sweeps and edit it")
    for kind, chip in chips.items():
        names = (*NEEDED, *(name for name in OPTIONAL if isinstance(chip, dict) and name in chip))
        wanted += [(chip, name, f"chips.{kind}.{name}") for name in names]
    for holder, name, said in wanted:
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise SweepError(f"{path}: {said} = {value!r}: must be a number above 0")
    return dict(table)


def slice_named(name: str, path: Path = PRICES, spot: bool = False) -> Slice:
    """The slice of that name, such as v5e-16, at the table's prices; SweepError lists what there is."""
    table = prices(path)
    kind, _, size = name.partition("-")
    chip = table["chips"].get(kind)
    if chip is None:
        known = ", ".join(f"{each}-8" for each in table["chips"])
        raise SweepError(f"--slice {name}: must be a kind of chip in {path} and a size, such as {known}")
    return Slice(
        name=name,
        chips=chips_of(name, kind, size, chip.get("named_by", 1)),
        peak_flops=float(chip["peak_flops"]),
        usd=float(chip["usd_spot" if spot else "usd"]),
        watts=(float(chip["watts"]) + float(table["host_watts"])) * float(table["pue"]),
        kg_co2_per_kwh=float(table["kg_co2_per_kwh"]),
        spot=spot,
        date=table["date"],
        table=str(path),
    )


def chips_of(name: str, kind: str, size: str, named_by: float) -> int:
    """Chips of a slice: of a TPU that is rented out (scaling/config/tpu.py), or of a kind that a table adds,
    any.

    named_by: what the name of a kind that a table adds counts of each chip.
    """
    from scaling.config.tpu import GENERATIONS, count_chips

    if kind in GENERATIONS:
        if size not in map(str, GENERATIONS[kind].slices):
            raise SweepError(
                f"--slice {name}: known are {', '.join(f'{kind}-{each}' for each in GENERATIONS[kind].slices)}"
            )
        return count_chips(GENERATIONS[kind].slices[int(size)])
    count = int(size) / named_by if re.fullmatch("[1-9][0-9]{0,6}", size) else 0
    if not count or count % 1:
        raise SweepError(f"--slice {name}: must be {kind} and a number, such as {kind}-{8 * named_by:g}: 8 chips")
    return int(count)


def quote(flops: float, on: Slice, mfu: float, longer: float = 0.0) -> dict[str, Any]:
    """Wall-clock in seconds, chip-hours, dollars, kWh and kg of CO2 of so many training FLOPs on a slice.

    longer: seconds that steps are known to take beyond that (sweeps/cost/compiled_time.py).
    """
    if not 0 < mfu <= 1:
        raise SweepError(f"--mfu {mfu:g}: must be above 0 and at most 1, such as 0.4")
    seconds = flops / (on.chips * on.peak_flops * mfu) + longer
    hours = on.chips * seconds / 3600
    kwh = hours * on.watts / 1000
    return {
        "slice": on.name,
        "chips": on.chips,
        "mfu": mfu,
        **({"seconds_beyond_mfu": longer} if longer else {}),
        "spot": on.spot,
        "seconds": seconds,
        "chip_hours": hours,
        "usd": hours * on.usd,
        "kwh": kwh,
        "kg_co2": kwh * on.kg_co2_per_kwh,
        "prices": on.table,
        "prices_of": on.date,
    }


def as_text(of: dict[str, Any]) -> str:
    """The quote in a line for a person, and one on where its prices are from."""
    how = "spot" if of["spot"] else "on demand"
    rate = f"{of['mfu']:.0%} of peak" + (", or the compiler's time of a step" if "seconds_beyond_mfu" in of else "")
    return (
        f"on {of['slice']} ({of['chips']} chips, {how}) at {rate}: {duration(of['seconds'])}, "
        f"{short(of['chip_hours'])} chip-hours, ${of['usd']:,.2f}, {short(of['kwh'])} kWh, "
        f"{short(of['kg_co2'])} kg CO2\n"
        f"prices of {of['prices_of']}, spot and watts partly assumed: {of['prices']} says which (yours: --prices)"
    )
