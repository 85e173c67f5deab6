"""TPU slices by the names they are ordered by. Standard library only.

Sources: Google Cloud's TPU documentation, the pages of each generation (system architecture; slice
configurations). v5e and v6e are named by chips, v4 and v5p by TensorCores, of which a chip has two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaling.config.validation import require

GIB = 2**30
FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
CUBES = {
    8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8",
    2048: "8x8x16", 4096: "8x16x16",
}  # fmt: skip
LARGEST = {8192: "16x16x16", 12288: "16x16x24"}  # of v5p


@dataclass(frozen=True)
class Generation:
    """What a chip has, and the slices there are: number in the name to chips along each axis."""

    slices: dict[int, str]
    hbm: int  # bytes a chip that a program may use: libtpu 0.0.42 says so of one that needs more
    flops: float  # bfloat16 FLOP/s a chip, at its peak
    options: tuple[tuple[str, str], ...] = ()  # that libtpu wants beside the name


GENERATIONS = {
    "v4": Generation(CUBES, int(30.75 * GIB), 275e12, (("chip_config_name", "megacore"),)),
    "v5e": Generation(FLAT, int(15.75 * GIB), 197e12),
    "v5p": Generation(CUBES | LARGEST, int(95.74 * GIB), 459e12),
    "v6e": Generation(FLAT, int(31.25 * GIB), 918e12),
}


@dataclass(frozen=True)
class Topology:
    """A slice: its own name, libtpu's, and how many chips it has."""

    name: str
    libtpu: str
    chips: int
    chip: Generation


def topology(name: str) -> Topology:
    """The slice of that name, such as v5e-16; ConfigError lists the known ones."""
    generation, _, size = name.partition("-")
    known = ", ".join(f"{g}-{n}" for g, of in GENERATIONS.items() for n in of.slices)
    chip = GENERATIONS.get(generation)
    require(chip is not None and size in map(str, chip.slices), f"topology {name!r}: known are {known}")
    assert chip is not None
    shape = chip.slices[int(size)]
    return Topology(name, f"{generation}:{shape}", math.prod(map(int, shape.split("x"))), chip)
