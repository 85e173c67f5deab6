"""What a compiled program sends between devices, read from its HLO text. Standard library only."""

from __future__ import annotations

import re
from collections import Counter

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "c64": 64, "s4": 4, "u4": 4}
HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
OPERATION = re.compile(r"= (.*?) (ragged-all-to-all|" + "|".join(KINDS) + r")(-start)?\(")
ARRAY = re.compile(r"\b([a-z]+\d*)\w*\[([\d,]*)\]")
CALLED = re.compile(r"(?:calls|body|to_apply)=%?([\w.-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
CONDITION = re.compile(r"condition=%?([\w.-]+)")
LIMIT = re.compile(r"= [su]32\[\]\S* constant\((\d+)\)")
END = re.compile(r"^\}(, execution_thread=.*)?$")  # a kernel's metadata has lines of its own that begin so too
KERNEL = re.compile(r"%([A-Za-z_-]+)[\w.-]* = .* custom-call\(.*custom_call_target=\"tpu_custom_call\"")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


def collectives(text: str) -> dict[str, dict[str, int]]:
    """For each kind its count in one run of the program and the bytes of its results on one device.

    What stands in a loop is counted as often as the loop goes round.
    """
    bodies, entry = computations(text)
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()

    def walk(name: str, times: int) -> None:
        for line in bodies.get(name, ()):
            if found := OPERATION.search(line):
                kind = found[2].removeprefix("ragged-")
                count[kind] += times
                size[kind] += times * result_bytes(found[1], started=bool(found[3]), kind=kind)
            inside = times
            if " while(" in line:
                inside *= trips(line, bodies)
            for called in CALLED.findall(line):
                walk(called, inside)
            for several in BRANCHES.findall(line):
                for called in several.split(","):
                    walk(called.strip().lstrip("%"), times)

    walk(entry, 1)
    return {kind: {"count": count[kind], "bytes": size[kind]} for kind in KINDS if count[kind]}


def kernels(text: str) -> list[str]:
    """The Pallas kernels of a TPU's program, by name, each once; none where XLA computes everything."""
    return sorted(set(KERNEL.findall(text)))


def trips(line: str, bodies: dict[str, list[str]]) -> int:
    """How often a loop goes round: as the compiler says, or up to the constant that its condition counts to."""
    if known := TRIPS.search(line):
        return int(known[1])
    condition = CONDITION.search(line)
    limits = [int(n) for one in bodies.get(condition[1] if condition else "", ()) for n in LIMIT.findall(one)]
    return limits[0] if len(limits) == 1 else 1


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """The instructions of each computation, and the name of the one that is run."""
    bodies: dict[str, list[str]] = {}
    entry, at = "", ""
    for line in text.splitlines():
        if head := HEAD.match(line):
            at = head[2]
            bodies[at] = []
            entry = at if head[1] else entry
        elif END.match(line):
            at = ""
        elif at:
            bodies[at].append(line)
    return bodies, entry


def result_bytes(types: str, *, started: bool, kind: str) -> int:
    """Bytes of an operation's result. A started one's type holds its operand too, but an all-reduce's."""
    sizes = []
    for name, dims in ARRAY.findall(types):
        elements = 1
        for dim in filter(None, dims.split(",")):
            elements *= int(dim)
        sizes.append(elements * BITS.get(name, int(re.sub(r"\D", "", name) or 8)) // 8)
    return max(sizes, default=0) if started and kind != "all-reduce" else sum(sizes)
