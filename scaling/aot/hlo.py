"""Collectives and kernels of a compiled program, read from its HLO text. Standard library only."""

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
END = re.compile(r"^\}(, execution_thread=.*)?$")  # lines of a kernel's metadata begin with } as well
KERNEL = re.compile(r"%([A-Za-z_-]+)[\w.-]* = .* custom-call\(.*custom_call_target=\"tpu_custom_call\"")
TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Counts the collectives of a program.

    Args:
        text: HLO text of the compiled program.

    Returns:
        For each kind its count in one execution, loops included, and the bytes of its results on one device.
    """
    bodies, entry = computations(text)
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()

    def walk(name: str, times: int) -> None:
        for line in bodies.get(name, ()):
            if match := OPERATION.search(line):
                kind = match[2].removeprefix("ragged-")
                count[kind] += times
                size[kind] += times * result_bytes(match[1], started=bool(match[3]), kind=kind)
            inner_times = times
            if " while(" in line:
                inner_times *= trip_count(line, bodies)
            for name in CALLED.findall(line):
                walk(name, inner_times)
            for branches in BRANCHES.findall(line):
                for name in branches.split(","):
                    walk(name.strip().lstrip("%"), times)

    walk(entry, 1)
    return {kind: {"count": count[kind], "bytes": size[kind]} for kind in KINDS if count[kind]}


def kernels(text: str) -> list[str]:
    """Returns the names of the Pallas kernels of a TPU program, each once."""
    return sorted(set(KERNEL.findall(text)))


def trip_count(line: str, bodies: dict[str, list[str]]) -> int:
    """Returns the iterations of a loop: the compiler's count, or the constant that its condition compares with.

    Args:
        line: The instruction.
        bodies: Instructions of each computation.
    """
    if match := TRIPS.search(line):
        return int(match[1])
    condition = CONDITION.search(line)
    limits = [
        int(n) for instruction in bodies.get(condition[1] if condition else "", ()) for n in LIMIT.findall(instruction)
    ]
    return limits[0] if len(limits) == 1 else 1


def computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Returns the instructions of each computation, and the name of the entry computation."""
    bodies: dict[str, list[str]] = {}
    entry, current = "", ""
    for line in text.splitlines():
        if head := HEAD.match(line):
            current = head[2]
            bodies[current] = []
            entry = current if head[1] else entry
        elif END.match(line):
            current = ""
        elif current:
            bodies[current].append(line)
    return bodies, entry


def result_bytes(types: str, *, started: bool, kind: str) -> int:
    """Returns the bytes of an operation's result.

    Args:
        types: The result type in HLO text.
        started: Whether it is an asynchronous start, whose type includes the operand (except for all-reduce).
        kind: The collective.
    """
    sizes = []
    for name, dims in ARRAY.findall(types):
        elements = 1
        for dim in filter(None, dims.split(",")):
            elements *= int(dim)
        sizes.append(elements * BITS.get(name, int(re.sub(r"\D", "", name) or 8)) // 8)
    return max(sizes, default=0) if started and kind != "all-reduce" else sum(sizes)
