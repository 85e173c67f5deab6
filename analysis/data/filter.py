"""A small language that chooses rows: `C<1e21 and N>=1e6 and not excluded`. Parsed, never evaluated as Python.

Comparisons (chained too), and / or / not, + - * / **, in (a, b), numbers, text in quotes, column names
(dots allowed; col("any name") for the rest).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.errors import DataError

COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
ALLOWED = "allowed are comparisons, and, or, not, in (...), + - * / **, numbers, quoted text and column names"


def rows(expression: str, column: Callable[[str], np.ndarray], count: int) -> np.ndarray:
    """Which of `count` rows the expression keeps (bool array); `column` gives the values behind a name.

    A comparison with a missing number is false. Raises DataError on anything that is not in the language.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"where {expression!r}: cannot be read ({type(error).__name__}): {ALLOWED}") from None
    try:
        with np.errstate(all="ignore"):
            kept = _value(tree, column, expression)
    except (TypeError, OverflowError, ZeroDivisionError, RecursionError, np.exceptions.DTypePromotionError):
        raise DataError(f"where {expression!r}: mixes numbers with text, or a number too large") from None
    if np.asarray(kept).dtype != bool:
        raise DataError(f"where {expression!r}: gives numbers, not yes or no: write a comparison")
    return np.broadcast_to(kept, count).copy()


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _name(node.value)
        return None if left is None else f"{left}.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col":
        argument = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return None


def _value(node: ast.AST, column: Callable[[str], np.ndarray], whole: str) -> Any:
    name = _name(node)
    if name is not None:
        return column(name)
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        case ast.BoolOp(op=op, values=values):
            parts = [_boolean(v, column, whole) for v in values]
            return np.logical_and.reduce(parts) if isinstance(op, ast.And) else np.logical_or.reduce(parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_boolean(operand, column, whole)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, column, whole)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
            return ARITHMETIC[type(op)](_value(left, column, whole), _value(right, column, whole))
        case ast.Compare():
            return _compare(node, column, whole)
    raise DataError(f"where {whole!r}: {ast.unparse(node)!r} is not part of the language: {ALLOWED}")


def _boolean(node: ast.AST, column: Callable[[str], np.ndarray], whole: str) -> np.ndarray:
    value = np.asarray(_value(node, column, whole))
    if value.dtype != bool:
        raise DataError(f"where {whole!r}: {ast.unparse(node)!r} is not yes or no: write a comparison")
    return value


def _compare(node: ast.Compare, column: Callable[[str], np.ndarray], whole: str) -> np.ndarray:
    result: Any = True
    left = _value(node.left, column, whole)
    for op, side in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(side, ast.Tuple | ast.List):
                raise DataError(f"where {whole!r}: `in` takes a list: in (a, b)")
            found: Any = False
            for item in side.elts:
                found = found | _same_kind(operator.eq, left, _value(item, column, whole), whole)
            result = result & (found if isinstance(op, ast.In) else ~np.asarray(found))
            continue
        if type(op) not in COMPARE:
            raise DataError(f"where {whole!r}: {ALLOWED}")
        right = _value(side, column, whole)
        result = result & _same_kind(COMPARE[type(op)], left, right, whole)
        left = right
    return np.asarray(result)


def _same_kind(compare: Callable[[Any, Any], Any], left: Any, right: Any, whole: str) -> Any:
    """Numbers with numbers, text with text: NumPy would answer False in silence."""
    kinds = ["text" if np.asarray(side).dtype.kind in "OUS" else "number" for side in (left, right)]
    if kinds[0] != kinds[1]:
        raise DataError(f"where {whole!r}: compares a {kinds[0]} with a {kinds[1]}")
    return compare(left, right)
