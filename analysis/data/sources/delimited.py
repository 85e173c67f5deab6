"""Reads delimited text as spreadsheets, scripts and people write it.

Handled: separators, title lines above the header, a row of units below it, repeated headers, comment lines, rows of
totals at the end, Markdown tables, decimal commas. Whatever is left out or interpreted is stated in a note.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.sources.files import check_rows, decode
from analysis.data.table import DECIMAL_COMMA, Table, parse_column, table_of_frame
from analysis.data.units import LOSSES, parse_unit
from analysis.errors import DataError
from analysis.format import plural

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?[\s,;]*', re.IGNORECASE)  # first line of a file that Excel can open
TOTALS = re.compile(r"(?:grand |sub)?totals?|sum|mean|average|avg\.?|median|std\.?|st\.? ?dev\.?", re.IGNORECASE)
LARGE = 1 << 20  # bytes from which regular text is read with Arrow
MAX_ROW = 1 << 24  # characters of a line
MAX_LINE = 1 << 16  # bytes of a header of regular text
MAX_TITLES = 3  # lines above the header
MAX_TOTALS = 4  # rows of totals at the end of a table
OTHER_UNITS = ("-", "#", "tokens", "params", "parameters", "count", "text", "name", "nats/token", "nats per token")
SPREADSHEET_ERROR = re.compile(r"#(?:REF!|N/A|DIV/0!|VALUE!|NAME\?|NUM!|NULL!)")
MARKDOWN_RULE = re.compile(r"[\s|:+-]*-[\s|:+-]*")
Row = tuple[int, list[str]]  # line in the file, cells


def read_delimited(path: Path, data: bytes) -> Table:
    """Reads delimited text; cells stay text.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: There is no header or the rows do not match it; one line that names the line of the file.
    """
    check_rows(path, data.count(b"\n"))
    if len(data) >= LARGE and (table := read_regular_lines(path, data)) is not None:
        return table
    lines = decode(path, data).splitlines(keepends=True)
    _check_lines(path, lines)
    usual = _usual_separator(path)
    stated = SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    contents = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    contents = contents[1:] if stated else contents
    if not contents:
        raise DataError(f"{path}: is empty: it must have a header and rows")
    titles = _title_lines([lines[i] for i in contents[: MAX_TITLES + 2]], stated[1] if stated else None, usual)
    first = contents[titles]
    following = [lines[i] for i in contents[titles + 1 : titles + 2]]
    separator = stated[1] if stated else _separator(lines[first], following, usual)
    header = _split(lines[first], separator)
    named = first > 0 and lines[first - 1].startswith("#") and all(map(_is_number, header))
    if named and len(_split(lines[first - 1].lstrip("# "), separator)) == len(header):  # as numpy.savetxt writes it
        lines[first - 1] = lines[first - 1].lstrip("# ")
        first -= 1
    table = _table_of_rows(path, list(_rows(path, lines, first, separator)), separator)
    if titles:
        table = table.with_notes(f"{plural(titles, 'line')} above the header left out: {lines[contents[0]].strip()!r}")
    table = _with_separator_note(table, separator, usual)
    has_commas = separator == ";" and any(
        DECIMAL_COMMA.fullmatch(cell.strip()) for column in table.frame for cell in table.frame[column]
    )
    return replace(table.with_notes("commas are read as decimal points"), decimal_comma=True) if has_commas else table


def _check_lines(path: Path, lines: list[str]) -> None:
    """Raises DataError for a line of more than MAX_ROW characters."""
    number, line = max(enumerate(lines, 1), key=lambda item: len(item[1]), default=(0, ""))
    if len(line) > MAX_ROW:
        raise DataError(f"{path}: line {number}: {len(line):,} characters: at most {MAX_ROW:,} are read")


def read_regular_lines(path: Path, data: bytes) -> Table | None:
    """The table of regular text (analysis/data/sources/regular.py), None of other text; as `read_delimited` reads it.

    Args:
        path: The file, for messages.
        data: Its bytes.
    """
    from analysis.data.sources.regular import read_regular  # here, because few tables are large

    data = data.removeprefix(codecs.BOM_UTF8)
    end = data.find(b"\n", 0, MAX_LINE) + 1
    following = data.find(b"\n", end, end + MAX_LINE)
    try:
        first, second = data[:end].decode(), data[end:following].decode()
    except UnicodeDecodeError:
        return None
    usual = _usual_separator(path)
    separator = _separator(first, [second], usual)
    header = _split(first, separator) if separator in SEPARATORS and following >= 0 else []
    is_special = SEPARATOR_LINE.fullmatch(first) or first.startswith("#") or all(map(_is_number, header))
    if len(header) < 2 or not all(header) or is_special or (separator == ";" and b"," in data):
        return None
    frame = read_regular(data, separator, header)
    if frame is None or len(frame) < 2:
        return None
    rows: list[Row] = [(i, list(frame.iloc[i])) for i in (0, 1, len(frame) - 1)]
    if _with_units(header, rows) or TOTALS.fullmatch(_label(rows[-1])):
        return None
    table = table_of_frame(frame, str(path), np.arange(2, len(frame) + 2))
    return _with_separator_note(table, separator, usual)


def _usual_separator(path: Path) -> str:
    return "\t" if ".tsv" in path.name.lower() else ","


def _with_separator_note(table: Table, separator: str, usual: str) -> Table:
    if separator == usual or separator not in SEPARATORS:
        return table
    return table.with_notes(f"cells are separated by {SEPARATORS[separator]}")


def _split(line: str, separator: str) -> list[str]:
    """Cells of one line; an unclosed quotation mark is not an error here."""
    if separator == " ":
        return [cell.strip('"') for cell in re.findall(r'"[^"]*"|\S+', line)]
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # which `_rows` reports with the line
        cells = line.split(separator)
    return [cell.strip() for cell in cells]


def _separator(header: str, following: list[str], usual: str) -> str:
    """Separator of cells.

    Of the separators in the header, those that divide the next line into as many cells come first, of these the ones
    with most cells, then the one implied by the file name.
    """
    present = [separator for separator in SEPARATORS if separator in header]
    if not present:
        return " " if len(header.split()) > 1 else usual

    def rank(separator: str) -> tuple[bool, int, bool, int]:
        width = len(_split(header, separator))
        agrees = any(len(_split(line, separator)) == width for line in following)
        return agrees, width if agrees else 0, separator == usual, header.count(separator)

    return max(present, key=rank)


def _title_lines(contents: list[str], separator: str | None, usual: str) -> int:
    """Number of lines above the header: those with one cell, above the first line with several."""
    for number, line in enumerate(contents):
        cells = separator or _separator(line, contents[number + 1 : number + 2], usual)
        names = [cell for cell in _split(line, cells) if cell]
        if cells == " " or len(names) < 2:
            continue
        has_titles = all(sum(map(bool, _split(title, cells))) == 1 for title in contents[:number])
        return number if has_titles and not all(map(_is_number, names)) else 0
    return 0


def _rows(path: Path, lines: list[str], first: int, separator: str) -> Iterator[Row]:
    """The rows from a header on, each with its line number in the file."""
    if separator == " ":
        yield from ((number, _split(line, " ")) for number, line in enumerate(lines[first:], first + 1))
        return
    is_markdown = separator == "|" and lines[first].lstrip().startswith("|")
    reader = csv.reader(lines[first:], delimiter=separator, strict=True, skipinitialspace=True)
    for row in _checked_rows(path, first, reader):
        cells = [cell.strip() for cell in row] if is_markdown else row
        if is_markdown:
            cells = cells[1 : len(cells) - (cells[-1:] == [""])]
        if not (is_markdown and MARKDOWN_RULE.fullmatch("|".join(cells))):
            yield first + reader.line_num, cells


def _checked_rows(path: Path, first: int, reader: Any) -> Iterator[list[str]]:
    """The rows of a `csv.reader`, whose errors name the line."""
    line = first + 1  # of the next row
    try:
        for row in reader:
            line = first + reader.line_num + 1
            yield row
    except csv.Error as error:
        if "field limit" in str(error):
            limit = csv.field_size_limit()
            reason = (
                f"a cell of more than {limit:,} characters: is a quotation mark not closed? else leave its column out"
            )
        else:
            reason = f"cannot be read: {error}"
        raise DataError(f"{path}: line {line}: {reason}") from None


def _table_of_rows(path: Path, numbered: list[Row], separator: str) -> Table:
    """A table from a header and rows."""
    line, header = numbered[0]
    header = [name.strip() for name in header]
    while header and not header[-1]:  # spreadsheets end every line with commas
        header.pop()
    if not header:
        raise DataError(f"{path}: line {line}: names no column: the first line must name the columns, such as N,D,L")
    if all(_is_number(name) for name in header):
        raise DataError(f"{path}: line {line}: has only numbers: the first line must name the columns, such as N,D,L")
    if _has_row_names(header, numbered[1:]):
        header = ["", *header]
    rows, left_out = _data_rows(path, numbered[1:], header, separator)
    notes = [note for note in (_count(left_out, "comment"), _count(left_out, "repeated header")) if note]
    if len(rows) > 1 and (named := _with_units(header, rows)):
        header, note = named
        rows, notes = rows[1:], [*notes, note]
    totals = _total_rows(rows)
    if totals:
        cells = [row[0] for _, row in rows[-totals:]]
        notes.append(f"{plural(totals, 'row')} at the end left out: {', '.join(map(repr, cells))}")
        rows = rows[:-totals]
    frame = pd.DataFrame([row for _, row in rows], columns=header, dtype=object)
    return table_of_frame(frame, str(path), np.array([number for number, _ in rows], int)).with_notes(*notes)


def _has_row_names(header: list[str], numbered: list[Row]) -> bool:
    """Whether each row has its name or number before the columns of the header, as R's write.table writes it."""
    rows = [row for _, row in numbered if any(cell.strip() for cell in row)]
    if not rows or any(len(row) != len(header) + 1 or not row[-1].strip() for row in rows):
        return False
    names = [row[0].strip() for row in rows]
    is_index = names in ([str(i) for i in range(k, len(rows) + k)] for k in (0, 1))
    return is_index or (len(set(names)) == len(names) and not any(map(_is_number, names)))


def _data_rows(path: Path, numbered: list[Row], header: list[str], separator: str) -> tuple[list[Row], list[str]]:
    """The rows of the width of the header, and the kind of each line that was left out."""
    width = len(header)
    rows: list[Row] = []
    left_out: list[str] = []
    marked = sum(row[0].startswith("#") for _, row in numbered if row)
    has_comments = marked <= len(numbered) / 2  # otherwise the rows are numbered #1, #2, ...
    for line, row in numbered:
        if not any(cell.strip() for cell in row):
            continue
        if has_comments and row[0].startswith("#") and not SPREADSHEET_ERROR.match(row[0]):
            left_out.append("comment")
        elif row[0].strip() == header[0] and [cell.strip() for cell in row[:width]] == header:
            left_out.append("repeated header")
        elif any(cell.strip() for cell in row[width:]) or (separator == " " and len(row) < width):
            raise DataError(f"{path}: line {line}: {len(row)} cells, but the header has {width} columns")
        else:
            rows.append((line, row[:width] + [""] * (width - len(row))))
    return rows, left_out


def _count(left_out: list[str], kind: str) -> str:
    number = left_out.count(kind)
    return f"{plural(number, kind)} below the header left out" if number else ""


def _is_number(cell: str) -> bool:
    return bool(np.isfinite(parse_column(pd.Series([cell], dtype=object), counts=False).values[0]))


def _with_units(header: list[str], rows: list[Row]) -> tuple[list[str], str] | None:
    """The header with the units of the row below it, and a note; None if that row is not one of units."""
    (_, cells), (_, following) = rows[0], rows[1]
    units = [cell.strip().strip("()[]").strip() for cell in cells]
    stated = [unit for unit, name in zip(units, header, strict=True) if unit]
    numbers = parse_column(pd.Series(following, dtype=object), counts=True, decimal_comma=True).values
    if not stated or not all(map(_is_unit, stated)) or not np.isfinite(numbers).any():
        return None
    without_unit = ("", *OTHER_UNITS)
    names = [
        name if unit.lower() in without_unit else f"{name} ({unit})" for name, unit in zip(header, units, strict=True)
    ]
    return names, f"units are read from the row below the header: {', '.join(stated)}"


def _is_unit(text: str) -> bool:
    if text.lower() in OTHER_UNITS or text.lower() in LOSSES:
        return True
    if _is_number(text):
        return False
    try:
        parse_unit("C", text)
    except DataError:
        return False
    return True


def _total_rows(rows: list[Row]) -> int:
    """Number of rows at the end that summarise the others: their first text, and no other, is such as Total or Mean."""
    first = len(rows)
    while first and TOTALS.fullmatch(_label(rows[first - 1])) and first > len(rows) - MAX_TOTALS:
        first -= 1
    labels = set(map(_label, rows[first:]))
    return len(rows) - first if first and not any(_label(row) in labels for row in rows[:first] if labels) else 0


def _label(row: Row) -> str:
    """First text of a row."""
    return next((cell.strip().rstrip(":").lower() for cell in row[1] if cell.strip()), "")
