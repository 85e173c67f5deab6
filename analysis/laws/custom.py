"""Laws of a user's own: `FILE.py:NAME` or `package.module:NAME`, a function or a `Law`; or a function in a notebook."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.errors import DataError, code_location, user_code_errors
from analysis.laws.law import Law
from scaling.config.user_code import load_object

LOW, HIGH = 1e-12, 1e80  # default bounds of a parameter with positive starts
STARTS = (0.1, 1.0, 10.0)  # starting values of a parameter without a default
FIELDS = tuple(name for name in Law.__dataclass_fields__ if name != "function")
NAMING = ("linear", "bounds", "powers", "constants", "scales")  # fields that name parameters


def load_law(name: str) -> Law:
    """Loads a law from a user's file, which is executed, or from an installed module.

    Args:
        name: FILE.py:NAME or package.module:NAME, where NAME is a function or a `Law`.

    Raises:
        DataError: The file or name does not exist, the file has an error, or the law is not valid.
    """
    with user_code_errors():
        value = load_object(name, kind="a function or a Law", accepts=_is_law)
    return own_law(value, name)


def _is_law(value: Any) -> bool:
    return isinstance(value, Law) or inspect.isfunction(value)


def own_law(law: Law | Callable[..., Any], name: str) -> Law:
    """Returns a user's law, whose errors are DataErrors that name file and line.

    Args:
        law: A `Law`, or a function as for `law_from_function`.
        name: Name of the law.

    Raises:
        DataError: The law is not valid.
    """
    made = law if isinstance(law, Law) else law_from_function(law, name)
    checked: dict[str, Any] = {
        field: _reported(function)
        for field in ("optimum", "starts_from_data", "derivatives")
        if (function := getattr(made, field)) is not None
    }
    return replace(made, function=_checked(made.function), **checked)


def law_from_function(function: Callable[..., Any], name: str) -> Law:
    """Creates a law from a function whose positional arguments are inputs and keyword-only arguments are parameters.

    The default of a parameter is its starting value or a tuple of starting values; parameters without a default use
    `STARTS`. A parameter with a start of 0 or less can have either sign unless `bounds` limits it.

    Args:
        function: Function, optionally with attributes named like fields of `Law`, such as bounds, linear or units.
        name: Name of the law, which is its source unless the function has an attribute `source`.

    Raises:
        DataError: The signature has no inputs or no parameters, or takes *args or **kwargs; an attribute is unknown or
            names a parameter that the function does not have; or a start or bound is not a number.
    """
    where = code_location(function)
    arguments = inspect.signature(function).parameters.values()
    inputs = [p for p in arguments if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    parameters = [p for p in arguments if p.kind is p.KEYWORD_ONLY]
    if not inputs or not parameters or len(inputs) + len(parameters) < len(arguments):
        raise DataError(
            f"{where}: a law must be a function of inputs, a star and parameters, such as "
            "law(N, D, *, E, A=(1, 100), alpha=0.3)"
        )
    fields = _attributes(function, {parameter.name for parameter in parameters}, where)
    linear = tuple(fields.get("linear", ()))
    starts, bounds, scales = {}, dict(fields.pop("bounds", {})), {}
    for parameter in parameters:
        if parameter.name in linear:
            continue
        values = _numbers(parameter, where)
        starts[parameter.name] = values
        bounds.setdefault(parameter.name, (LOW, HIGH) if min(values) > 0 else (-HIGH, HIGH))
        if bounds[parameter.name][0] <= 0 and any(values):
            scales[parameter.name] = max(abs(value) for value in values)
    starts |= fields.pop("starts", {})
    scales |= fields.pop("scales", {})
    return Law(function, fields.pop("source", name), starts, bounds=bounds, scales=scales, **fields)


def _attributes(function: Callable[..., Any], parameters: set[str], where: str) -> dict[str, Any]:
    """The attributes of a function, which must be fields of `Law` and name only its parameters."""
    fields = {name: value for name, value in vars(function).items() if not name.startswith("__")}
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise DataError(f"{where}: the law has an attribute {unknown[0]}: must be one of {', '.join(FIELDS)}")
    for field in NAMING:
        others = [name for name in fields.get(field, ()) if name not in parameters]
        if others:
            raise DataError(f"{where}: {field} names {others[0]!r}: must be one of {', '.join(sorted(parameters))}")
    for name, pair in fields.get("bounds", {}).items():
        if np.shape(pair) != (2,) or not float(pair[0]) < float(pair[1]):
            raise DataError(f"{where}: bounds of {name} are {pair!r}: must be a lower and a higher number")
    return fields


def _numbers(parameter: inspect.Parameter, where: str) -> tuple[float, ...]:
    """Starting values of a parameter: its default."""
    values = STARTS if parameter.default is parameter.empty else parameter.default
    try:
        numbers = tuple(float(value) for value in (values if isinstance(values, tuple | list) else (values,)))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not np.isfinite(numbers).all():
        raise DataError(f"{where}: the start of {parameter.name} is {values!r}: must be a number or a tuple of numbers")
    return numbers


def _reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors as DataErrors; a change of its inputs, which are those of all calls, is one."""

    @functools.wraps(function)
    def reported(*inputs: Any, **params: Any) -> Any:
        with user_code_errors():
            return function(*map(_read_only, inputs), **params)

    return reported


def _read_only(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a law with its errors as DataErrors, and a check of what it returns."""
    call = _reported(function)

    @functools.wraps(function)
    def checked(*inputs: Any, **params: Any) -> Any:
        value = call(*inputs, **params)
        expected = _shape(inputs, params)
        kind = getattr(value, "dtype", np.dtype(type(value)) if isinstance(value, int | float) else None)
        if kind is None or kind.kind not in "fiu" or np.shape(value) != expected:
            has = "" if kind is None else f" of {kind}, shape {np.shape(value)}"
            raise DataError(
                f"{code_location(function)}: the law returned {type(value).__name__}{has}: must be an array of numbers "
                f"with shape {expected}, that of its inputs and parameters broadcast together"
            )
        return value

    return checked


def _shape(inputs: tuple[Any, ...], params: Mapping[str, Any]) -> tuple[int, ...]:
    return np.broadcast_shapes(*map(np.shape, inputs), *map(np.shape, params.values()))
