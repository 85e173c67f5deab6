"""Reads the file of a record and verifies it: JSON, names and types of fields, checksum, folder, config and counts."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, UnknownFieldError, one_line, shown
from scaling.store.files import DamagedFileError, NewerFileError, parse_json, read_bytes
from scaling.store.verification.agreement import disagreement
from scaling.store.verification.checksum import has_right_checksum, is_as_written
from scaling.store.verification.config_cache import run_config_from_dict
from scaling.store.verification.fields import RECORD_FIELDS, wrong_field

RECORD_REMEDY = (
    "`python -m sweeps launch SWEEP --store ...` or `python -m scaling train` trains it again; or restore the file"
    " from a copy"
)
COPY_REMEDY = "a run has one folder, named by its run_id: remove this one, or give it that name"
MAX_BYTES = 2**24
RUN_ID_LENGTH = 64
REQUIRED_FIELDS = {"run_id", "status", "config"}
KNOWN_FIELDS = set(RECORD_FIELDS)


def read_record(path: str) -> dict[str, Any]:
    """Reads a record and verifies all but its agreement with its config (`verified_config`).

    Args:
        path: STORE/runs/RUN_ID/record.json.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It is damaged, or of another run.
    """
    content = read_bytes(path, RECORD_REMEDY)
    if len(content) > MAX_BYTES:
        raise DamagedFileError(path, f"has {len(content):,} bytes: a record has at most {MAX_BYTES:,}", RECORD_REMEDY)
    as_written = is_as_written(content)  # then no key occurs twice
    data = parse_json(path, content, RECORD_REMEDY, unique_keys=not as_written)
    if not isinstance(data, dict) or not data.keys() >= REQUIRED_FIELDS:
        raise DamagedFileError(path, "not a record", RECORD_REMEDY)
    if unknown := sorted(data.keys() - KNOWN_FIELDS):
        raise NewerFileError(path, unknown)
    if problem := wrong_field(data):
        raise DamagedFileError(path, problem, RECORD_REMEDY)
    if data["run_id"] != (folder := path.rsplit(os.sep, 2)[-2]):
        raise DamagedFileError(path, f"run_id = {shown(data['run_id'])} in the folder {folder}", COPY_REMEDY)
    if not as_written and not has_right_checksum(data):
        raise DamagedFileError(
            path, _edited_field(path, data) or "its checksum differs from its content", RECORD_REMEDY
        )
    return data


def record_stamps(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Returns size, modification time (ns) and inode of each record in a folder of runs, by run id in order.

    Args:
        folder: STORE/runs.
    """
    stamps = {}
    try:
        with os.scandir(folder) as runs:
            for run in runs:
                try:
                    stat = os.stat(os.path.join(run.path, "record.json"))
                except FileNotFoundError:
                    continue
                except OSError as error:  # such as a link to itself: it is reported when the record is read
                    if error.errno == errno.ENOTDIR and len(run.name) != RUN_ID_LENGTH:
                        continue  # a file of another program
                    stamps[run.name] = (0, 0, 0)
                    continue
                stamps[run.name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except FileNotFoundError:
        return {}
    return dict(sorted(stamps.items()))


def verified_config(path: Path | str, data: dict[str, Any]) -> RunConfig:
    """Returns the config of a record that agrees with it.

    Args:
        path: The file, for the error message.
        data: Result of `read_record`.

    Raises:
        DamagedFileError: The config is not valid, or does not agree with the run id, the counts or the final step.
    """
    try:
        config = run_config_from_dict(data["config"])
        problem = disagreement(data, config)
    except UnknownFieldError as error:
        raise NewerFileError(path, error.fields) from None
    except (ConfigError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedFileError(path, one_line(error), RECORD_REMEDY) from None
    if problem:
        raise DamagedFileError(path, problem, RECORD_REMEDY)
    return config


def _edited_field(path: str, data: dict[str, Any]) -> str:
    """Returns which field of a record with a wrong checksum does not agree with its config, if that is known."""
    try:
        verified_config(path, data)
    except DamagedFileError as error:
        return f"{error.reason} (and its checksum differs from its content)"
    return ""
