"""Types and values of the columns of item files, which metrics rely on. Key: I items, K choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.store.files import DamagedFileError

if TYPE_CHECKING:
    import pyarrow as pa

REMEDY = "`python -m scaling evaluate RUN --tasks ...` writes it again; or restore it from a copy, or remove it"
OF_CHOICES = ("choices", "choice_logp", "choice_tokens", "choice_bytes", "choice_prior_logp")  # lists (K,) of an item
AT_LEAST = {"shots": 0, "step": 0, "answer_tokens": 0, "answer_bytes": 0, "choice_tokens": 1, "choice_bytes": 1}


def check_columns(path: Path, table: pa.Table, kinds: Mapping[str, str], metric_kinds: tuple[str, ...]) -> None:
    """Checks the types and values of the columns of an item file.

    Args:
        path: The file, for the error message.
        table: Its columns; it may lack some.
        kinds: Type of each column, such as "int32" or "list<float32>". Whole numbers may be stored as another type of
            numbers. Other columns are not checked.
        metric_kinds: Allowed values of the column metric_kind.

    Raises:
        DamagedFileError: It has no rows, or a column has wrong types or values.
    """
    if not table.num_rows:
        raise DamagedFileError(path, "no items", REMEDY)
    for name in table.column_names:
        if name in kinds and (reason := _problem_of_column(table[name], kinds[name], AT_LEAST.get(name))):
            raise DamagedFileError(path, f"column {name}: {reason}", REMEDY)
    if reason := _problem_of_rows(table, metric_kinds):
        raise DamagedFileError(path, reason, REMEDY)


def _problem_of_column(column: pa.ChunkedArray, kind: str, least: int | None) -> str:
    """What is wrong with the type or the values of a column; empty if nothing is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return ""
    if kind.startswith("list<"):
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            return f"{column.type} instead of {kind}"
        column, kind = pc.list_flatten(column), kind.removeprefix("list<").removesuffix(">")
        if column.null_count:
            return "a list has empty cells"
        if pa.types.is_null(column.type):  # of empty lists
            return ""
    if not _has_type(column.type, kind):
        return f"{column.type} instead of {kind}"
    if kind.startswith("int") and pa.types.is_floating(column.type):
        known = pc.drop_null(column)
        if not pc.all(pc.and_(pc.is_finite(known), pc.equal(pc.floor(known), known))).as_py() and len(known):
            return "not whole numbers"
    if least is not None and len(column) and (smallest := pc.min(column).as_py()) is not None and smallest < least:
        return f"{smallest:g}: must be {least} or more"
    return ""


def _has_type(found: pa.DataType, kind: str) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(found):
        found = found.value_type
    is_number: Callable[[pa.DataType], bool] = lambda t: pa.types.is_integer(t) or pa.types.is_floating(t)  # noqa: E731
    if kind == "string":
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    return bool(pa.types.is_boolean(found)) if kind == "bool" else is_number(found)


def _problem_of_rows(table: pa.Table, metric_kinds: tuple[str, ...]) -> str:
    """What is wrong between the cells of an item; empty if nothing is."""
    for kind in table["metric_kind"].unique().to_pylist() if "metric_kind" in table.column_names else ():
        if kind not in metric_kinds:
            return f"column metric_kind: {kind!r}: must be one of {', '.join(metric_kinds)}"
    lists: dict[str, list[Any]] = {name: table[name].to_pylist() for name in OF_CHOICES if name in table.column_names}
    counts = [[len(cell) for cell in cells if cell] for cells in zip(*lists.values(), strict=True)]
    if any(len(set(count)) > 1 for count in counts):
        return f"the lists {', '.join(lists)} of an item differ in length"
    if "gold" in table.column_names:
        for gold, count in zip(table["gold"].to_pylist(), counts, strict=False):
            if gold is not None and count and not 0 <= gold < count[0]:
                return f"column gold: {gold:g}: must be from 0 to {count[0] - 1}, an index of the choices"
    return ""
