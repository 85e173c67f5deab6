"""Reads results of lm-evaluation-harness as a table of scores, one row per run, task and metric.

Format (lm_eval/result_schema.py of version 0.4): `results` -> task -> "METRIC,FILTER" and "METRIC_stderr,FILTER",
before version 0.4 without filter; `n-samples`, `n-shot`, `configs`, `group_subtasks` and `config`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.sources.files import decode, files_below
from analysis.data.sources.json_text import parse_json
from analysis.data.table import Table, table_of_frame
from analysis.errors import DataError
from analysis.format import join_names, plural

RESULTS_PARTS = ("configs", "config", "versions", "n-shot", "n-samples", "config_general")
NOT_METRICS = ("alias", "name", "sample_len", "sample_count", "samples")
NO_FILTER = "none"
RESULTS = "results*.json"
MAX_FILE_BYTES = 1 << 28  # larger files are samples, not results


def is_results(content: Mapping[str, Any]) -> bool:
    """Returns whether a JSON object is a results file of lm-evaluation-harness."""
    results = content.get("results")
    if not isinstance(results, dict) or not any(part in content for part in RESULTS_PARTS):
        return False
    tasks = [scores for scores in results.values() if isinstance(scores, dict)]
    return any("," in metric or metric.endswith("_stderr") for scores in tasks for metric in scores)


def results_files(folder: Path) -> list[Path]:
    """Returns the files below a folder that can be results: results*.json, or else every .json in the folder itself.

    Raises:
        DataError: As for `files_below`.
    """
    return files_below(folder, RESULTS) or sorted(path for path in folder.glob("*.json") if path.is_file())


def has_results(folder: Path) -> bool:
    """Returns whether a folder contains a results file. Damaged files count as none."""
    for path in (*folder.rglob(RESULTS), *folder.glob("*.json")):
        if not os.path.isfile(path):  # False, not an error, in a folder that cannot be opened
            continue
        try:
            content = _read(path)
        except DataError:
            continue
        if content is not None:
            return True
    return False


def read_folder(folder: Path) -> Table:
    """Reads the results files below a folder; of several evaluations of a run on a task the last one counts.

    Raises:
        DataError: A results file is damaged.
    """
    files = results_files(folder)
    contents = [(path.parent.relative_to(folder).as_posix(), _read(path)) for path in files]
    table = score_table([(name, content) for name, content in contents if content is not None], str(folder))
    others = [
        path.relative_to(folder).as_posix()
        for path, (_, content) in zip(files, contents, strict=True)
        if content is None and path.match(RESULTS)
    ]
    if others:
        table = table.with_notes(f"not results of lm-evaluation-harness, left out: {join_names(others)}")
    return table


def _read(path: Path) -> dict[str, Any] | None:
    """Content of a results file, None for other JSON."""
    if path.stat().st_size > MAX_FILE_BYTES:
        return None
    try:
        content = parse_json(decode(path, path.read_bytes()))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) and is_results(content) else None


def score_table(files: list[tuple[str, dict[str, Any]]], name: str) -> Table:
    """Returns the scores as a table.

    Args:
        files: Folder or name of each file and its content, in order of their dates.
        name: Name of the source in messages.

    Returns:
        Columns run, task, metric, score, stderr, n (items), chance, shots, params (parameters) and revision; missing
        values are None. A metric with a filter other than none is called "METRIC,FILTER".
    """
    labels = [_model(content) for _, content in files]
    folders: dict[str, set[str]] = {}
    for (folder, _), label in zip(files, labels, strict=True):
        folders.setdefault(label, set()).add(folder)
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    replaced = 0
    for (folder, content), label in zip(files, labels, strict=True):
        run = label if label and len(folders[label]) == 1 else " ".join(filter(None, (label, folder)))
        for row in _rows(content):
            key = (run, row["task"], row["metric"])
            replaced += key in rows
            rows[key] = {"run": run, **row}
    table = table_of_frame(pd.DataFrame(list(rows.values()), dtype=object), name)
    table = table.with_notes(f"results of lm-evaluation-harness: {plural(len({run for run, *_ in rows}), 'run')}")
    if replaced:
        table = table.with_notes(f"{plural(replaced, 'score')} of an earlier evaluation replaced by the last one")
    return table


def _model(content: Mapping[str, Any]) -> str:
    """Name of the model, with its revision."""
    arguments = _model_arguments(content)
    name = content.get("model_name") or arguments.get("pretrained") or arguments.get("path") or arguments.get("model")
    revision = _revision(content)
    return f"{name or ''}@{revision}" if revision not in (None, "main") else str(name or "")


def _revision(content: Mapping[str, Any]) -> str | None:
    config = _mapping(content.get("config"))
    revision = _model_arguments(content).get("revision") or config.get("model_revision")
    return str(revision) if revision else None


def _model_arguments(content: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the model, from text such as pretrained=NAME,revision=main or an object."""
    arguments = _mapping(content.get("config")).get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        return {key.strip(): value.strip() for key, equals, value in pairs if equals}
    return _mapping(arguments)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores of one file; metrics that are not finite numbers are left out."""
    params: Any = _mapping(content.get("config")).get("model_num_parameters")
    rows = []
    for task, scores in content["results"].items():
        for key, score in _mapping(scores).items():
            metric, _, kind = key.partition(",")
            if metric.endswith("_stderr") or metric in NOT_METRICS or not _is_number(score):
                continue
            error = scores.get(f"{metric}_stderr,{kind}" if kind else f"{metric}_stderr")
            rows.append({
                "task": str(task),
                "metric": metric if kind in ("", NO_FILTER) else key,
                "score": score,
                "stderr": error if _is_number(error) else None,
                "n": _items(content, task),
                "chance": _chance(content, task),
                "shots": _mapping(content.get("n-shot")).get(task),
                "params": params if _is_number(params) and params > 0 else None,
                "revision": _revision(content),
            })  # fmt: skip
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _items(content: Mapping[str, Any], task: str) -> int | None:
    """Number of items of a task; of a group of tasks their sum."""
    counts = _mapping(content.get("n-samples"))
    items: list[Any] = []
    for member in _members(content, task):
        count = _mapping(counts.get(member)).get("effective")
        if not _is_number(count):
            count = _mapping(content["results"].get(member)).get("sample_len")
        items.append(count)
    return sum(items) if items and all(_is_number(count) and count > 0 for count in items) else None


def _chance(content: Mapping[str, Any], task: str) -> float | None:
    """Chance level of a multiple-choice task with a fixed list of choices; of a group the mean over items."""
    shares, weights = [], []
    for member in _members(content, task):
        config = _mapping(_mapping(content.get("configs")).get(member))
        choices = config.get("doc_to_choice")
        if config.get("output_type") != "multiple_choice" or not isinstance(choices, list) or not choices:
            return None
        shares.append(1 / len(choices))
        weights.append(_items(content, member) or 1)
    total = sum(weights)
    return sum(share * weight for share, weight in zip(shares, weights, strict=True)) / total if total else None


def _members(content: Mapping[str, Any], task: str) -> list[str]:
    """Tasks of a group, at any depth; the task itself if it is not a group."""
    subtasks, members, pending, visited = _mapping(content.get("group_subtasks")), [], [task], set()
    while pending:
        name = pending.pop()
        if name in visited:
            continue
        visited.add(name)
        children = [child for child in subtasks.get(name) or [] if isinstance(child, str)]
        pending += children
        if not children:
            members.append(name)
    return members
