"""TPU slices as those who rent them out name them. Standard library only.

Sources: Google Cloud's GKE documentation (TPU configurations: node pools, chips a VM) and its Cloud TPU
documentation (TPU VM configurations). v5e and v6e are named by chips, v4 and v5p by TensorCores, two a chip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sweeps.errors import SweepError

FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
CUBES = {
    8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8",
    2048: "8x8x16", 4096: "8x16x16",
}  # fmt: skip
LARGEST = {8192: "16x16x16", 12288: "16x16x24"}  # of v5p
CHIPS_A_HOST = 4  # of every slice of several machines; on the clusters that xpk makes, of all


@dataclass(frozen=True)
class Kind:
    """A generation: its name on GKE's nodes, its name in Cloud TPU's orders, its slices."""

    node: str
    order: str
    slices: dict[int, str]


KINDS = {
    "v4": Kind("tpu-v4-podslice", "v4", CUBES),
    "v5e": Kind("tpu-v5-lite-podslice", "v5litepod", FLAT),
    "v5p": Kind("tpu-v5p-slice", "v5p", CUBES | LARGEST),
    "v6e": Kind("tpu-v6e-slice", "v6e", FLAT),
}


@dataclass(frozen=True)
class Slice:
    """A slice: its own name, GKE's node label and topology, Cloud TPU's name, its machines and their chips."""

    name: str
    node: str
    topology: str  # chips along each axis
    order: str
    hosts: int
    chips_a_host: int


def slice_of(name: str, *, largest: int = CHIPS_A_HOST) -> Slice:
    """The slice of that name, such as v5e-16; SweepError lists the known ones.

    largest: chips of the largest v5e or v6e slice that is one machine (of Cloud TPU's own VMs: 8).
    """
    generation, _, size = name.partition("-")
    kind = KINDS.get(generation)
    if kind is None or size not in map(str, kind.slices):
        known = ", ".join(f"{g}-{n}" for g, of in KINDS.items() for n in of.slices)
        raise SweepError(f"topology {name!r}: known are {known}")
    topology = kind.slices[int(size)]
    count = chips(topology)
    a_host = count if kind.slices is FLAT and count <= largest else CHIPS_A_HOST
    return Slice(name, kind.node, topology, f"{kind.order}-{size}", count // a_host, a_host)


def chips(topology: str) -> int:
    """Chips of a slice, of those along each axis."""
    return math.prod(map(int, topology.split("x")))
