"""Values in names of runs and columns, by a form such as n{N}-d{D}-*."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pandas as pd

from analysis.data.columns.names import COLUMN_NAMES, name_readings
from analysis.data.table import Table, cell_texts, quote_cell
from analysis.errors import DataError
from analysis.format import join_names

COUNT = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[kKmMbBtT]?"  # taken whole
FIELD = re.compile(r"\{([A-Za-z_]\w*)\}|(\*)")


@dataclass(frozen=True)
class NameForm:
    """A form of names: each {FIELD} is a value, and * any text.

    Attributes:
        flag: The flag that gave it, for messages.
        text: The form.
        fields: Names of the values.
        pattern: Regular expression with a group per field.
    """

    flag: str
    text: str
    fields: tuple[str, ...]
    pattern: re.Pattern[str]

    @staticmethod
    def parse(flag: str, text: str) -> NameForm:
        """Parses the text of a flag.

        Args:
            flag: The flag.
            text: Its text.

        Raises:
            DataError: The form has no field, or one twice.
        """
        fields = tuple(field for field, _ in FIELD.findall(text) if field)
        if not fields or len(set(fields)) < len(fields):
            raise DataError(f"{flag} {text}: must contain each value once in braces, such as n{{N}}-d{{D}}-*")
        parts = FIELD.split(text)
        groups = [_group(*parts[i + 1 : i + 3]) for i in range(0, len(parts), 3)]
        regex = "".join(re.escape(literal) + group for literal, group in zip(parts[::3], groups, strict=True))
        return NameForm(flag, text, fields, re.compile(regex, re.DOTALL))

    def match(self, name: str) -> dict[str, str] | None:
        """Returns the values in a name by field, None if it does not have the form."""
        match = self.pattern.fullmatch(name)
        return None if match is None else match.groupdict()

    def check_new(self, table: Table) -> None:
        """Raises DataError if a table already has a column of a field."""
        clash = [field for field in self.fields if field in table.frame.columns]
        if clash:
            raise DataError(f"{table.name}: {self.flag} {self.text}: the table already has a column {clash[0]!r}")


def _group(field: str | None = None, star: str | None = None) -> str:
    return f"(?P<{field}>{COUNT}|.+?)" if field else ".*?" if star else ""


def name_hint(table: Table) -> str:
    """Returns advice for curves whose names of runs can contain sizes, to append to an error; else empty."""
    names = cell_texts(table.frame[table.curve_column]) if table.curve_column else []
    example = next((name for name in names if re.search(r"\d", name)), None)
    if example is None:
        return ""
    return f"; if names of runs such as {quote_cell(example)} contain it, read it with --run-names 'n{{N}}-*'"


def add_name_values(table: Table, text: str, column: str | None) -> Table:
    """Adds columns with the values that the names of runs contain.

    Args:
        table: A table with a column of names.
        text: Form of the names, such as "n{N}-d{D}-*".
        column: Column of the names; None takes the first usual one whose names all have this form.

    Raises:
        DataError: The form is not valid, or names do not have it.
    """
    form = NameForm.parse("--run-names", text)
    form.check_new(table)
    usual = [c for c in table.frame.columns if set(COLUMN_NAMES["name"].split()) & set(name_readings(c))]
    candidates = [column] if column else [*dict.fromkeys([*usual, *filter(None, [table.curve_column])])]
    if not candidates or candidates[0] not in table.frame.columns:
        raise DataError(f"{table.name}: --run-names: no column of names: name one with --columns name=...")
    mismatch = ""
    for candidate in candidates:
        names = cell_texts(table.frame[candidate])
        values = [values for name in names if (values := form.match(name)) is not None]
        if len(values) == len(names):
            frame = pd.concat([table.frame, pd.DataFrame(values, table.frame.index, form.fields, object)], axis=1)
            note = f"{join_names(form.fields)} read from the names in {candidate}"
            return replace(table, frame=frame).with_notes(note)
        other = next(name for name in names if form.match(name) is None)
        mismatch = mismatch or f"column {candidate}: {other!r} does not have the form {text}"
    raise DataError(f"{table.name}: --run-names {text}: {mismatch}")
