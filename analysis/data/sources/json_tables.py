"""Reads JSON and JSON lines: lists of runs, runs by name, lists by column, histories within runs, in any nesting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.columns.names import COLUMN_NAMES, name_readings
from analysis.data.sources import harness
from analysis.data.sources.files import decode
from analysis.data.sources.json_text import DuplicateKeyError, DuplicateKeys, parse_json
from analysis.data.sources.trackers import NESTED, flatten
from analysis.data.table import Table, table_of_frame
from analysis.errors import DataError
from analysis.format import join_names, plural

CONTAINERS = ("runs", "rows", "data", "results", "points", "records", "experiments", "models", "entries", "items")
HISTORIES = (  # members of a run with one object per step, or one list per quantity
    *("history", "scan_history", "log_history", "logs", "log", "curve", "curves", "steps", "train_log", "metrics"),
    *("checkpoints", "evals", "evaluations", "trajectory", "learning_curve", "training_curve"),
)
CONFIGS = (*NESTED, "hparams", "hyperparameters", "args", "cfg", "params", "model", "final", "metrics")
STEPWISE = re.compile(r"(?:.*[^a-z])?(?:loss|steps?|tokens|ppl|perplexity|flops)(?:[^a-z].*)?", re.IGNORECASE)
SPACE = re.compile(r"\s*")
KEEP_ONE = "keep one of them"
SHAPES = "must be a list of objects, one per run, an object with one object per run, or lists by column"
USUAL = frozenset(name for names in COLUMN_NAMES.values() for name in names.split())


def read_json(path: Path, data: bytes) -> Table:
    """Reads a JSON file, or several JSON values one after another.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: The file is not JSON, or does not contain runs.
    """
    text = decode(path, data)
    try:
        content = _values(path, text)
    except DuplicateKeyError as error:
        raise DataError(f"{path}: {error}: {KEEP_ONE}") from None
    if isinstance(content, dict) and harness.is_results(content):
        return harness.score_table([(path.stem, content)], str(path))
    return table_of_json(content, str(path))


def read_json_lines(path: Path, data: bytes) -> Table:
    """Reads JSON lines, one object per line.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: A line is not a JSON object.
    """
    rows = []
    for number, line in enumerate(decode(path, data).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}: not JSON: {error.msg}") from None
        except DuplicateKeyError as error:
            raise DataError(f"{path}: line {number}: {error}: {KEEP_ONE}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: must be an object, one per line")
        rows.append(row)
    return _table_of_runs(rows, [], str(path))


def _values(path: Path, text: str) -> Any:
    """The value of a text, or a list of several values one after another."""
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _concatenated(path, text)
        raise DataError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None


def _concatenated(path: Path, text: str) -> list[Any]:
    """Values of a file with several JSON values, one after another."""
    keys = DuplicateKeys()
    decoder, values = json.JSONDecoder(object_pairs_hook=keys), []
    position = _skip_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None
        if not isinstance(value, dict):
            raise DataError(f"{path}: line {text.count(chr(10), 0, position) + 1}: must be an object, one per line")
        values.append(value)
        position = _skip_space(text, position)
    keys.check(values)
    return values


def _skip_space(text: str, position: int) -> int:
    match = SPACE.match(text, position)
    return match.end() if match else position


def table_of_json(content: Any, name: str) -> Table:
    """Converts a JSON value to a table.

    Args:
        content: A list of objects, one per run; an object with one object or list per run; {"columns", "data"}; lists
            or objects by column; or an object with one of these as its member.
        name: Name of the source in messages.

    Raises:
        DataError: The value has none of these shapes.
    """
    if isinstance(content, dict) and isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        return _table_of_lists(content["columns"], content["data"], name)
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return _table_of_runs(content, [], name)
    if isinstance(content, list) and all(isinstance(row, list) for row in content):
        header, *rows = content
        if rows and header and all(isinstance(cell, str) for cell in header):
            return _table_of_lists(header, rows, name)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{name}: {SHAPES}")
    return _table_of_object(content, name)


def _table_of_lists(header: list[Any], rows: list[Any], name: str) -> Table:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(header):
            raise DataError(f"{name}: row {number}: must be a list of {len(header)} cells, one per column")
    return table_of_frame(pd.DataFrame(rows, columns=pd.Index(header, dtype=object), dtype=object), name)


def _table_of_object(content: dict[str, Any], name: str) -> Table:
    containers = [key for key in content if key.lower() in CONTAINERS and _has_objects(content[key])]
    if containers:
        container = min(containers, key=lambda key: CONTAINERS.index(key.lower()))
        table = table_of_json(content[container], name)
        others = [key for key in containers if key != container]
        return table.with_notes(f"rows are read from {container}, not {join_names(others)}") if others else table
    if all(isinstance(cells, dict) for cells in content.values()) and _is_by_column(content):
        return table_of_frame(pd.DataFrame(content, dtype=object).reset_index(names="run"), name)
    if _is_run(content):
        return _table_of_runs([content], [], name)
    lists = {key: value for key, value in content.items() if _is_list_of_objects(value)}
    objects = {key: value for key, value in content.items() if isinstance(value, dict) and value}
    if len(lists) == 1:
        return table_of_json(next(iter(lists.values())), name)
    if lists and not objects:  # a history per run
        return _table_of_runs([{"history": rows} for rows in lists.values()], list(lists), name)
    if len(objects) == 1 and len(content) == 1:
        return table_of_json(next(iter(objects.values())), name)
    if objects and not lists:
        return _table_of_objects(objects, [key for key in content if key not in objects], name)
    columns = [key for key, value in content.items() if isinstance(value, list)]
    if columns and not lists and not objects:
        return table_of_frame(pd.DataFrame(content, dtype=object), name)
    if not lists and not objects and sum(map(_is_usual, content)) > 1:
        return _table_of_runs([content], [], name)
    raise DataError(f"{name}: {SHAPES}; it has {join_names(content)}")


def _table_of_objects(objects: dict[str, dict[str, Any]], ignored: list[str], name: str) -> Table:
    """Table of an object of objects, by run, or by group and run."""
    if len(objects) > 1 and all(_are_alike(members) for members in objects.values()):
        runs = [{"group": group, "run": run, **row} for group, rows in objects.items() for run, row in rows.items()]
        return _table_of_runs(runs, [], name)
    table = _table_of_runs(list(objects.values()), list(objects), name)
    return table.with_notes(f"members that are not runs: {join_names(ignored)}") if ignored else table


def _has_objects(value: Any) -> bool:
    values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return bool(values) and all(isinstance(member, dict | list) for member in values)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_run(content: Mapping[str, Any]) -> bool:
    """Whether an object is one run: it has a configuration, a summary or a history."""
    for key, value in content.items():
        if key.lower() in CONFIGS and isinstance(value, dict):
            return True
        if key.lower() in HISTORIES and (_is_list_of_objects(value) or isinstance(value, dict)):
            return True
    return False


def _is_usual(key: str) -> bool:
    return bool(USUAL & set(name_readings(key)))


def _is_by_column(objects: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether objects are columns, each with a cell by row, as pandas writes tables, rather than runs."""
    keys = list(next(iter(objects.values())))
    same = all(list(cells) == keys for cells in objects.values())
    if (
        not keys
        or not same
        or any(isinstance(cell, dict | list) for cells in objects.values() for cell in cells.values())
    ):
        return False
    return keys == [str(i) for i in range(len(keys))] or sum(map(_is_usual, objects)) > sum(map(_is_usual, keys))


def _are_alike(members: Mapping[str, Any]) -> bool:
    """Whether the members of an object are runs: several objects with the same keys."""
    values = list(members.values())
    return len(values) > 1 and all(isinstance(v, dict) and v and v.keys() == values[0].keys() for v in values)


def _table_of_runs(runs: list[dict[str, Any]], keys: list[str], name: str) -> Table:
    """Table of runs, in which a run with a history has a row per step.

    Args:
        runs: Object of each run.
        keys: Name of each run; empty if runs have no key.
        name: Name of the source in messages.
    """
    parts, notes = [], []
    for run in runs:
        fields, steps, lists = _split_history(flatten(run))
        parts.append([{**fields, **step} for step in steps] if steps else [fields])
        notes += lists
    is_curve = any(len(rows) > 1 for rows in parts)
    labels: list[Any] = list(keys)
    available = {column for rows in parts for row in rows for column in row}
    label = next(column for column in ("run", "name", "key", "run of the file") if column not in available)
    if is_curve and not keys:
        usual = [c for c in ("run_id", "run", "name", "id", "run_name") if all(c in rows[0] for rows in parts if rows)]
        label = usual[0] if usual else label
        labels = [rows[0].get(label, f"run {i}") for i, rows in enumerate(parts, 1)]
    if labels:
        parts = [[{label: value, **row} for row in rows] for value, rows in zip(labels, parts, strict=True)]
    rows = [row for part in parts for row in part]
    table = table_of_frame(pd.DataFrame(rows, dtype=object), name).with_notes(*dict.fromkeys(notes))
    if not is_curve:
        return table
    note = f"histories of {plural(len(runs), 'run')}, {plural(len(rows), 'row')}"
    return replace(table.with_notes(note), curve_column=label)


def _split_history(run: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Fields of a flattened run, the rows of its history, and notes on lists that are not used."""
    objects = [key for key, value in run.items() if _is_list_of_objects(value)]
    named = [key for key in objects if key.rpartition(".")[2].lower() in HISTORIES]
    histories = objects if len(objects) == 1 else named
    if len(histories) == 1:
        fields = {key: value for key, value in run.items() if key != histories[0]}
        return fields, [flatten(row) for row in run[histories[0]]], []
    notes = [f"lists {join_names(objects)} are not used: a run can have one history"] if objects else []
    groups: dict[str, list[str]] = {}
    for key, value in run.items():
        if isinstance(value, list) and value and not any(isinstance(cell, dict | list) for cell in value):
            groups.setdefault(key.rpartition(".")[0], []).append(key)
    for parent, columns in groups.items():
        lengths = {key.removeprefix(f"{parent}."): len(run[key]) for key in columns}
        if len(columns) < 2 or not any(STEPWISE.fullmatch(column) for column in lengths):
            continue
        if len(set(lengths.values())) > 1:
            sizes = ", ".join(f"{column} {length}" for column, length in lengths.items())
            raise ValueError(f"lists of different lengths in {parent or 'a run'}: {sizes}")
        cells = {column: run[f"{parent}.{column}" if parent else column] for column in lengths}
        fields = {key: value for key, value in run.items() if key not in columns}
        return fields, [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)], notes
    return run, [], notes
