"""The table of limits on input that is not trusted, from the constants of the code."""

from __future__ import annotations

from analysis.data.sources import event_files, files
from docs.generate.reference.markdown import table
from scaling.config.user_code.loading import IMPORT_SECONDS
from scaling.config.user_code.time_limit import SECONDS_VARIABLE
from scaling.evaluation.harness.sandbox.isolation import TEMPORARY_BYTES, TEMPORARY_FILES
from scaling.evaluation.harness.sandbox.worker import MAX_MESSAGE_BYTES
from scaling.store.lease import SILENCE_SECONDS
from scaling.store.verification import fields, record_file


def limits() -> str:
    """Returns the limits: what they apply to, and their values."""
    rows = [
        ("record of a run", size(record_file.MAX_BYTES)),
        ("nested objects and lists in a record's `about`", f"{fields.MAX_DEPTH:,} deep"),
        ("table of text, unpacked", size(files.MAX_TEXT)),
        ("table in JSON, unpacked", size(files.MAX_JSON)),
        ("table in Parquet, unpacked", size(files.MAX_UNPACKED)),
        ("rows of any table", f"{files.MAX_ROWS:,}"),
        ("record of a TensorBoard event file", size(event_files.MAX_RECORD)),
        (f"running your own file ({SECONDS_VARIABLE} changes it)", f"{IMPORT_SECONDS:g} s"),
        ("files of a generated program", f"{size(TEMPORARY_BYTES)} in {TEMPORARY_FILES:,} files and folders"),
        ("arguments or result of a call of a generated program", size(MAX_MESSAGE_BYTES)),
        ("silence after which a lease is taken over, also one that cannot be read", f"{SILENCE_SECONDS:g} s"),
    ]
    return table(("input", "limit"), rows)


def size(count: int) -> str:
    """Returns a number of bytes in the largest binary unit that divides it."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count % factor == 0:
            return f"{count // factor:,} {unit}"
    return f"{count:,} bytes"
