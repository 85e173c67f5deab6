"""Sweeps of given runs: a list of RunConfig, or JSON files and folders of run configs. No file is executed."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling.config.os_errors import open_file
from scaling.config.run import RunConfig, run_id
from scaling.config.text import printable
from scaling.config.validation import ConfigError
from scaling.store.verification.config_cache import run_config_from_dict
from sweeps.definitions.definition import Definition
from sweeps.definitions.from_code import with_block_hashes
from sweeps.errors import SweepError

SUFFIXES = (".json", ".jsonl")
FORMAT = "a run config, a list of run configs, or one run config per line in a .jsonl file"
UNKNOWN_TOKENS = "0" * 64  # stands for the corpus of a config without data.tokens until --corpus gives it


def names_configs(text: str) -> bool:
    """Whether the name of a sweep is a path of run configs: FILE.json, FILE.jsonl, a folder, or a pattern of these."""
    return text.endswith((*SUFFIXES, "/")) or glob.has_magic(text) or os.path.isdir(text)


def path_name(paths: Sequence[str]) -> str:
    """Returns the name of a sweep of run configs: of its file without the suffix, or of the folder of its files."""
    if len(paths) > 1:
        return os.path.basename(os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]))
    (text,) = paths
    fixed = [part for part in Path(text).parts if not glob.has_magic(part)]
    pattern = len(fixed) < len(Path(text).parts)
    if pattern:  # the folders before the first pattern
        parts = Path(text).parts
        fixed = list(parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    path = Path(*fixed).absolute()
    return path.stem if not pattern and text.endswith(SUFFIXES) else path.name


def configs_definition(paths: Sequence[str]) -> Definition:
    """Returns the sweep of the run configs in files.

    Args:
        paths: Files, folders whose .json and .jsonl files are read, or patterns such as 'runs/*.json'.

    Raises:
        SweepError: There is no such file, or a config is not valid; the message names the file and the field.
    """
    rows = [row for text in paths for path in config_files(text) for row in read_rows(path)]
    if not rows:
        raise SweepError(f"{', '.join(paths)}: has no run configs: must be {FORMAT}")
    return list_definition(_distinct((source, _parse_config(source, data)) for source, data in rows))


def list_definition(configs: Sequence[RunConfig]) -> Definition:
    """Returns the sweep of given runs, whose corpus is found in the store."""
    runs = list(configs)
    return Definition(lambda: runs, None)


def config_files(path: str) -> list[Path]:
    """Returns the files of run configs that a path or pattern names, sorted.

    Raises:
        SweepError: There are none.
    """
    if os.path.isdir(path):
        files = sorted(file for suffix in SUFFIXES for file in Path(path).glob(f"*{suffix}"))
        if not files:
            raise SweepError(f"{path}: no {' or '.join(SUFFIXES)} files in this folder: must have run configs")
        return files
    if glob.has_magic(path) and not os.path.exists(path):
        files = sorted(map(Path, glob.glob(path, recursive=True)))
        if not files:
            raise SweepError(f"{path}: no file matches this pattern")
        return files
    return [Path(path)]


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields each run config of a file as parsed JSON, and where it is in the file.

    Besides FORMAT, objects with a list `runs` are read, whose entries have a `config`: the output of `plan --json`, and
    the sweeps in a store.

    Args:
        path: The file.

    Raises:
        SweepError: The file cannot be read, or is not JSON.
    """
    try:
        with open_file(path) as file:
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SweepError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"{path}, line {number}", _parse_json(f"{path}, line {number}", line)
        return
    data = _parse_json(str(path), text)
    runs = data.get("runs") if isinstance(data, dict) else data
    if not isinstance(runs, list):
        yield str(path), data
        return
    for index, entry in enumerate(runs):
        is_planned = isinstance(data, dict) and isinstance(entry, dict) and "config" in entry
        yield f"{path}, run {index}", entry["config"] if is_planned else entry


def _parse_json(source: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: thousands of nested brackets
        raise SweepError(f"{source}: not JSON: {' '.join(str(error).split())}") from None


def _parse_config(source: str, data: Any) -> RunConfig:
    if isinstance(data, dict) and isinstance(data.get("data"), dict):
        data = {**data, "data": {"tokens": UNKNOWN_TOKENS, **data["data"]}}
    try:
        return with_block_hashes(run_config_from_dict(data))
    except ConfigError as error:
        raise SweepError(f"{source}: {error}") from None


def _distinct(runs: Iterable[tuple[str, RunConfig]]) -> list[RunConfig]:
    """Returns the runs without duplicates, which are named on standard error in one line each."""
    first: dict[str, str] = {}
    configs = []
    for source, config in runs:
        name = run_id(config)
        if name in first:
            message = f"{source}: the same run as {first[name]} ({name[:12]}): trained once"
            print(printable(message), file=sys.stderr)
            continue
        first[name] = source
        configs.append(config)
    return configs
