"""Damages of JSON: values of wrong types at each node, missing and unknown fields, and generated documents."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

PLACEHOLDER = "@placeholder@"
DEPTH = 20_000  # nested lists, more than any parser's recursion
VALUES = {
    "null": "null",
    "list": "[]",
    "object": "{}",
    "filled-list": '[1, "a", null]',
    "filled-object": '{"a": {"b": [1]}}',
    "text": '"text"',
    "empty-text": '""',
    "number-as-text": '"12"',
    "escaping-path": '"../../../escaped"',
    "control-characters": '"\\u001b[31mred\\u0000[bold]x[/]\\n"',
    "surrogate": '"\\ud800"',
    "long-text": '"' + "x" * 100_000 + '"',
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "0.5",
    "huge-float": "1e308",
    "infinite": "1e999",
    "huge-integer": "1" + "0" * 400,
    "digits": "1" + "0" * 5000,
    "NaN": "NaN",
    "deep": "[" * DEPTH + "]" * DEPTH,
}
GENERATED = 40  # documents


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of each node below the top of a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def read_line(path: Path, random: Random) -> tuple[Any, list[str], int]:
    """Returns a document of a file of JSON or JSON lines, the lines of the file, and the number of its line."""
    text = path.read_text()
    lines = text.splitlines() or [""] if path.suffix == ".jsonl" else [text]
    number = random.randrange(len(lines))
    return json.loads(lines[number] or "{}"), lines, number


def write_line(path: Path, lines: list[str], number: int, document: str) -> None:
    """Writes the file back with another document in a line."""
    path.write_text("\n".join([*lines[:number], document, *lines[number + 1 :]]) + "\n")


def parent_of(document: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda value, key: value[key], path[:-1], document)


def name_of(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path)) or "the document"


def wrong_type(path: Path, random: Random) -> str:
    """A value of another type, or out of range, at one node; or in place of the whole document."""
    document, lines, number = read_line(path, random)
    node = random.choice([(), *nodes(document)])
    value = random.choice(list(VALUES))
    if node:
        parent_of(document, node)[node[-1]] = PLACEHOLDER
        text = json.dumps(document, indent=1 if len(lines) == 1 else None)
    else:
        text = f'"{PLACEHOLDER}"'
    write_line(path, lines, number, text.replace(f'"{PLACEHOLDER}"', VALUES[value]))
    return f"{name_of(node)} = {value}"


def missing_field(path: Path, random: Random) -> str:
    document, lines, number = read_line(path, random)
    node = random.choice([*nodes(document)] or [()])
    if node:
        del parent_of(document, node)[node[-1]]
    write_line(path, lines, number, json.dumps(document))
    return name_of(node)


def newer(path: Path, random: Random) -> str:
    """A field of a later version, at the top or in a part."""
    document, lines, number = read_line(path, random)
    parts = [(), *(node for node in nodes(document) if isinstance(value_at(document, node), dict))]
    node = random.choice(parts)
    value_at(document, node)["field_of_a_later_version"] = random.choice([1, "text", None, {"a": 1}])
    write_line(path, lines, number, json.dumps(document))
    return name_of((*node, "field_of_a_later_version"))


def value_at(document: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda value, key: value[key], path, document)


def generated(path: Path, random: Random) -> str:
    """A generated document in place of the file's, or of one node of it."""
    document, lines, number = read_line(path, random)
    value = documents()[random.randrange(GENERATED)]
    node = random.choice([(), *nodes(document)])
    if node:
        parent_of(document, node)[node[-1]] = value
    else:
        document = value
    write_line(path, lines, number, json.dumps(document))
    return f"{name_of(node)} = {json.dumps(value)[:80]}"


@functools.cache
def documents() -> list[Any]:
    """Returns generated JSON documents, the same in each process."""
    generated_values: list[Any] = []
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    values = st.recursive(
        leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3)
    )

    @settings(max_examples=GENERATED + 20, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(values)
    def collect(value: Any) -> None:
        generated_values.append(value)

    collect()
    return generated_values[-GENERATED:]
