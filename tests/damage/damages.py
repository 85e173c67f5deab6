"""Damages: each is a function that changes one file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.damage.changes import code, json_values, records, tables

Change = Callable[[Path, Random], str | None]


@dataclass(frozen=True)
class Damage:
    """A damage.

    Attributes:
        name: Its name.
        formats: Formats of the files it applies to (FileKind.format), or names of kinds.
        change: Changes a file; returns what was changed, for a message.
        variants: How many different changes it has, about; large ones are sampled.
    """

    name: str
    formats: tuple[str, ...]
    change: Change
    variants: int = 1

    def applies_to(self, name: str, format: str) -> bool:
        """Returns whether the damage is one of a kind of file."""
        return format in self.formats or name in self.formats


def truncated(path: Path, random: Random) -> str:
    data = path.read_bytes()
    kept = random.randrange(1, max(2, len(data)))
    path.write_bytes(data[:kept])
    return f"{kept} of {len(data)} bytes"


def emptied(path: Path, random: Random) -> None:
    path.write_bytes(b"")


def flipped(path: Path, random: Random) -> str:
    data = bytearray(path.read_bytes() or b"\0")  # an empty file gets a byte
    place, bit = random.randrange(len(data)), random.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place}"


def zeroed(path: Path, random: Random) -> None:
    """What a file system leaves of a file whose blocks were not written before the power failed."""
    path.write_bytes(bytes(path.stat().st_size))


def random_bytes(path: Path, random: Random) -> None:
    path.write_bytes(random.randbytes(max(64, path.stat().st_size)))


def deleted(path: Path, random: Random) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def directory(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()


def unreadable(path: Path, random: Random) -> None:
    path.chmod(0)


def pipe(path: Path, random: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def dangling_link(path: Path, random: Random) -> None:
    deleted(path, random)
    path.symlink_to("missing")


def link_to_itself(path: Path, random: Random) -> None:
    deleted(path, random)
    path.symlink_to(path.name)


def link_to_other(path: Path, random: Random) -> str:
    """A link to a file of the same kind, such as the record of another run."""
    other = next(p for p in sorted(path.parent.parent.glob(f"*/{path.name}")) if p != path)
    deleted(path, random)
    path.symlink_to(other)
    return other.parent.name[:12]


def content_of_other(path: Path, random: Random) -> str:
    """The content of another run's file."""
    other = next(p for p in sorted(path.parent.parent.glob(f"*/{path.name}")) if p != path)
    path.write_bytes(other.read_bytes())
    return other.parent.name[:12]


def file_in_place(path: Path, random: Random) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder\n")


def emptied_folder(path: Path, random: Random) -> None:
    shutil.rmtree(path)
    path.mkdir()


def copied(path: Path, random: Random) -> str:
    name = random.choice([path.name[:-4] + "copy", "f" * len(path.name), f"{path.name} (copy)", "backup"])
    shutil.copytree(path, path.with_name(name))
    return name


def linked(path: Path, random: Random) -> str:
    name = random.choice(["f" * len(path.name), "link"])
    path.with_name(name).symlink_to(path.name)
    return name


def renamed(path: Path, random: Random) -> str:
    name = random.choice(["e" * len(path.name), "moved"])
    path.rename(path.with_name(name))
    return name


FILES = ("json", "lines", "parquet", "csv", "code", "bytes")
FOLDERS = ("folder", "store")
# A pipe that a user names on a command line is read, as from `<(command)`; tables are not.
PIPED = ("parquet", "csv", "bytes", "record", "curve-lines", "lease", "sweep", "placement", "launch-lock",
         "checkpoint-manifest", "shared-manifest", "checkpoint-metadata", "table-json", "table-lines")  # fmt: skip
DAMAGES = (
    Damage("truncated", FILES, truncated, 20),
    Damage("emptied", FILES, emptied),
    Damage("flipped", FILES, flipped, 60),
    Damage("zeroed", FILES, zeroed),
    Damage("random-bytes", FILES, random_bytes, 2),
    Damage("deleted", (*FILES, *FOLDERS), deleted),
    Damage("directory", FILES, directory),
    Damage("unreadable", (*FILES, *FOLDERS), unreadable),
    Damage("pipe", PIPED, pipe),
    Damage("dangling-link", (*FILES, *FOLDERS), dangling_link),
    Damage("link-to-itself", (*FILES, *FOLDERS), link_to_itself),
    Damage("link-to-other", ("record", "curve", "config"), link_to_other),
    Damage("content-of-other", ("record", "curve", "config"), content_of_other),
    Damage("file-in-place", FOLDERS, file_in_place),
    Damage("emptied-folder", ("folder",), emptied_folder),
    Damage("copied", ("folder",), copied, 4),
    Damage("linked", ("folder",), linked, 2),
    Damage("renamed", ("folder",), renamed, 2),
    Damage("wrong-type", ("json", "lines"), json_values.wrong_type, 2000),
    Damage("missing-field", ("json", "lines"), json_values.missing_field, 150),
    Damage("generated", ("json", "lines"), json_values.generated, 40),
    Damage("newer", ("record", "config", "sweep", "placement", "run-config", "run-configs"), json_values.newer, 4),
    Damage("older-record", ("record",), records.older, 1),
    Damage("altered-record", ("record",), records.altered, len(records.EDITS)),
    Damage("altered-older", ("record",), records.altered_older, len(records.EDITS) - len(records.UNKNOWN)),
    Damage("other-columns", ("parquet",), tables.other_columns, 12),
    Damage("older-table", ("curve", "items"), tables.older, 1),
    Damage("pandas-metadata", ("parquet",), tables.pandas_metadata, 4),
    Damage("altered-curve", ("curve",), tables.altered_curve, 1),
    Damage("altered-table", ("csv",), tables.altered_csv, len(tables.CSV_EDITS)),
    Damage("hostile-code", ("code",), code.hostile, len(code.ENDINGS)),
)


def damage(name: str) -> Damage:
    """Returns the damage of a name."""
    return next(damage for damage in DAMAGES if damage.name == name)
