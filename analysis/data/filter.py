"""Filter expressions that select rows, such as `C<1e21 and N>=1e6 and not excluded`.

Expressions are parsed and are never evaluated as Python code. They consist of
comparisons (also chained), and / or / not, + - * / **, in (a, b), numbers, quoted text and column names (with dots;
col("any name") for other names).
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import DataError

COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
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


def row_mask(expression: str, column: Callable[[str], np.ndarray], count: int) -> np.ndarray:
    """Evaluates an expression for every row.

    Args:
        expression: Filter expression.
        column: Returns the values (count,) of a column by its name.
        count: Number of rows.

    Returns:
        Mask (count,) of the rows for which the expression is true. A comparison with a missing number is neither true
        nor false, and neither is its negation (three-valued logic, as in SQL).

    Raises:
        DataError: The expression is not valid.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"where {expression!r}: not valid ({type(error).__name__}): {ALLOWED}") from None
    try:
        with np.errstate(all="ignore"):
            mask = _Evaluator(expression, column).value(tree)
    except (TypeError, OverflowError, ZeroDivisionError, RecursionError, np.exceptions.DTypePromotionError):
        raise DataError(f"where {expression!r}: mixes numbers and text, or a number is too large") from None
    if not isinstance(truth := _truth(mask), _Truth):
        raise DataError(f"where {expression!r}: is a number, not true or false: write a comparison")
    return np.broadcast_to(truth.true, count).copy()


def _column_name(node: ast.AST) -> str | None:
    """Name of the column that a node denotes, from `a`, `a.b` or `col("a b")`; None for other nodes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _column_name(node.value)
        return None if left is None else f"{left}.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col":
        argument = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            return argument.value
    return None


@dataclass(frozen=True)
class _Truth:
    """Rows for which an expression is true, and rows for which it is false; with a missing number it is neither."""

    true: np.ndarray
    false: np.ndarray

    def __invert__(self) -> _Truth:
        return _Truth(self.false, self.true)

    def __and__(self, other: _Truth) -> _Truth:
        return _Truth(self.true & other.true, self.false | other.false)

    def __or__(self, other: _Truth) -> _Truth:
        return _Truth(self.true | other.true, self.false & other.false)


def _truth(value: Any) -> Any:
    """A value of true and false as _Truth; other values are returned unchanged."""
    if isinstance(value, _Truth) or np.asarray(value).dtype != bool:
        return value
    return _Truth(np.asarray(value), ~np.asarray(value))


@dataclass(frozen=True)
class _Evaluator:
    """Evaluates the nodes of one expression."""

    expression: str
    column: Callable[[str], np.ndarray]

    def value(self, node: ast.AST) -> Any:
        """Returns the value of a node, an array over rows or one value for all rows."""
        name = _column_name(node)
        if name is not None:
            return self.column(name)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            case ast.BoolOp(op=op, values=values):
                parts = [self._boolean(value) for value in values]
                return functools.reduce(operator.and_ if isinstance(op, ast.And) else operator.or_, parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._boolean(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                return ARITHMETIC[type(op)](self.value(left), self.value(right))
            case ast.Compare():
                return self._comparison(node)
        raise DataError(f"where {self.expression!r}: {ast.unparse(node)!r} is not supported: {ALLOWED}")

    def _boolean(self, node: ast.AST) -> _Truth:
        value = _truth(self.value(node))
        if not isinstance(value, _Truth):
            raise DataError(
                f"where {self.expression!r}: {ast.unparse(node)!r} is not true or false: write a comparison"
            )
        return value

    def _comparison(self, node: ast.Compare) -> _Truth:
        result = _truth(True)
        left = self.value(node.left)
        for op, side in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                member = self._is_member(left, side)
                result = result & (member if isinstance(op, ast.In) else ~member)
                continue
            if type(op) not in COMPARISONS:
                raise DataError(f"where {self.expression!r}: {ALLOWED}")
            right = self.value(side)
            result = result & self._compare(COMPARISONS[type(op)], left, right)
            left = right
        return result

    def _is_member(self, left: Any, side: ast.expr) -> _Truth:
        if not isinstance(side, ast.Tuple | ast.List):
            raise DataError(f"where {self.expression!r}: `in` takes a list: in (a, b)")
        member = _truth(False)
        for item in side.elts:
            member = member | self._compare(operator.eq, left, self.value(item))
        return member

    def _compare(self, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> _Truth:
        """Compares numbers with numbers and text with text; NumPy would silently return False for a mixture."""
        left, right = (side.true if isinstance(side, _Truth) else side for side in (left, right))
        kinds = ["text" if np.asarray(side).dtype.kind in "OUS" else "number" for side in (left, right)]
        if kinds[0] != kinds[1]:
            raise DataError(f"where {self.expression!r}: compares a {kinds[0]} with a {kinds[1]}")
        result, known = np.asarray(compare(left, right)), np.asarray(True)
        for side in (left, right):
            known = known & (~np.isnan(side) if np.asarray(side).dtype.kind == "f" else True)
        return _Truth(result & known, ~result & known)
