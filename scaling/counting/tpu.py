"""TPU slices by the names they are ordered by. Standard library only.

Sources: Google Cloud's documentation of each TPU generation (system architecture; slice configurations), of GKE (TPU
node pools, chips per VM) and of Cloud TPU (VM configurations). v5e and v6e slices are named by chips, v4 and v5p slices
by TensorCores, of which a chip has two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaling.config.validation import ConfigError

GIB = 2**30
CHIPS_PER_HOST = 4  # for every slice of several hosts; in xpk's clusters for all slices
FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
CUBES = {
    8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8",
    2048: "8x8x16", 4096: "8x16x16",
}  # fmt: skip
LARGEST_CUBES = {8192: "16x16x16", 12288: "16x16x24"}  # v5p only


@dataclass(frozen=True)
class Generation:
    """A TPU generation.

    Attributes:
        slices: Number in the slice's name -> chips along each axis.
        hbm: Bytes of a chip that a program may use, as libtpu 0.0.42 reports for one that needs more.
        gke_node: Value of the GKE node label `cloud.google.com/gke-tpu-accelerator`.
        cloud_name: First part of the accelerator type in Cloud TPU orders.
        libtpu_options: Options that libtpu needs besides the topology's name.
    """

    slices: dict[int, str]
    hbm: int
    gke_node: str
    cloud_name: str
    libtpu_options: tuple[tuple[str, str], ...] = ()


GENERATIONS = {
    "v4": Generation(
        CUBES, int(30.75 * GIB), "tpu-v4-podslice", "v4", (("chip_config_name", "megacore"),)
    ),
    "v5e": Generation(FLAT, int(15.75 * GIB), "tpu-v5-lite-podslice", "v5litepod"),
    "v5p": Generation(CUBES | LARGEST_CUBES, int(95.74 * GIB), "tpu-v5p-slice", "v5p"),
    "v6e": Generation(FLAT, int(31.25 * GIB), "tpu-v6e-slice", "v6e"),
}  # fmt: skip


@dataclass(frozen=True)
class TpuSlice:
    """A TPU slice.

    Attributes:
        name: Its name, such as v5e-16.
        generation: Facts of its chips.
        shape: Chips along each axis, such as 4x4.
        cloud_name: Accelerator type in Cloud TPU orders, such as v5litepod-16.
        hosts: Number of hosts.
        chips_per_host: Chips of each host.
    """

    name: str
    generation: Generation
    shape: str
    cloud_name: str
    hosts: int
    chips_per_host: int

    @property
    def chips(self) -> int:
        """Number of chips."""
        return self.hosts * self.chips_per_host

    @property
    def libtpu_name(self) -> str:
        """Name of the topology for libtpu, such as v5e:4x4."""
        return f"{self.name.partition('-')[0]}:{self.shape}"


def tpu_slice(name: str, *, largest_host: int = CHIPS_PER_HOST) -> TpuSlice:
    """Looks up a slice.

    Args:
        name: Generation and size, such as v5e-16.
        largest_host: Chips of the largest v5e or v6e slice that is a single host: 8 for Cloud TPU's own VMs.

    Raises:
        ConfigError: The name is unknown.
    """
    generation_name, _, size = name.partition("-")
    generation = GENERATIONS.get(generation_name)
    if generation is None or size not in map(str, generation.slices):
        names = ", ".join(f"{key}-{number}" for key, facts in GENERATIONS.items() for number in facts.slices)
        raise ConfigError(f"topology {name!r}: must be one of {names}")
    shape = generation.slices[int(size)]
    chips = count_chips(shape)
    chips_per_host = chips if generation.slices is FLAT and chips <= largest_host else CHIPS_PER_HOST
    cloud_name = f"{generation.cloud_name}-{size}"
    return TpuSlice(name, generation, shape, cloud_name, chips // chips_per_host, chips_per_host)


def count_chips(shape: str) -> int:
    """Returns the number of chips of a shape such as 4x4."""
    return math.prod(map(int, shape.split("x")))
