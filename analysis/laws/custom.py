"""Loads laws from a user's file: `my.py:law` is a function or a `Law` in that file, which is executed."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from analysis.laws.law import Law

LOW, HIGH = 1e-12, 1e80  # default bounds of a parameter with positive starts
STARTS = (0.1, 1.0, 10.0)  # starting values of a parameter without a default


def load_law(name: str) -> Law:
    """Loads a law from a file.

    Args:
        name: FILE.py:NAME, where NAME is a function or a `Law` in the file.

    Raises:
        DataError: The file or name does not exist, the file has an error, or the signature is not valid.
    """
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"law {name!r}: {file} does not exist: must be FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"law {name!r}: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # all errors in a user's file are reported in one line
        raise DataError(f"law {name!r}: {file} cannot be run: {type(error).__name__}: {error}") from error
    law = getattr(module, attribute, None)
    if isinstance(law, Law):
        return law
    if not callable(law):
        functions = [k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise DataError(
            f"law {name!r}: {file} does not define {attribute}: it defines {', '.join(functions) or 'no function'}"
        )
    return law_from_function(law, name)


def law_from_function(function: Callable[..., Any], name: str) -> Law:
    """Creates a law from a function whose positional arguments are inputs and keyword-only arguments are parameters.

    The default of a parameter is its starting value or a tuple of starting values; parameters without a default use
    `STARTS`. A parameter with a start of 0 or less can have either sign unless `bounds` limits it.

    Args:
        function: Function, optionally with attributes named like fields of `Law`, such as bounds, linear or units.
        name: Name of the law in errors, and its source unless the function has an attribute `source`.

    Raises:
        DataError: The signature has no inputs or no parameters, or takes *args or **kwargs.
    """
    arguments = inspect.signature(function).parameters.values()
    inputs = [p for p in arguments if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    parameters = [p for p in arguments if p.kind is p.KEYWORD_ONLY]
    if not inputs or not parameters or len(inputs) + len(parameters) < len(arguments):
        raise DataError(
            f"law {name!r}: must be a function of inputs, a star and parameters, such as "
            "law(N, D, *, E, A=(1, 100), alpha=0.3)"
        )
    fields = {k: getattr(function, k) for k in Law.__dataclass_fields__ if hasattr(function, k)}
    linear = tuple(fields.get("linear", ()))
    starts, bounds, scales = {}, dict(fields.pop("bounds", {})), {}
    for parameter in parameters:
        if parameter.name in linear:
            continue
        values = STARTS if parameter.default is parameter.empty else parameter.default
        values = tuple(float(v) for v in (values if isinstance(values, tuple | list) else (values,)))
        starts[parameter.name] = values
        bounds.setdefault(parameter.name, (LOW, HIGH) if min(values) > 0 else (-HIGH, HIGH))
        if bounds[parameter.name][0] <= 0 and any(values):
            scales[parameter.name] = max(abs(value) for value in values)
    starts |= fields.pop("starts", {})
    scales |= fields.pop("scales", {})
    return Law(function, fields.pop("source", name), starts, bounds=bounds, scales=scales, **fields)
