"""A user's own law: `my.py:law` names a function, or a `Law`, in their file. The file is executed."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from analysis.laws.law import Law

LOW, HIGH = 1e-12, 1e80  # bounds of a parameter that has no bounds of its own and whose starts are all positive
STARTS = (0.1, 1.0, 10.0)  # of a parameter without a default


def load_law(name: str) -> Law:
    """Loads a law from a file.

    Args:
        name: FILE.py:NAME, where NAME is a function or a `Law` in the file.

    Raises:
        DataError: No such file or name, an error in the file, or a signature that does not tell inputs from parameters.
    """
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"law {name!r}: {file} does not exist: a law of your own is FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"law {name!r}: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # any error of a user's file becomes one line
        raise DataError(f"law {name!r}: {file} cannot be run: {type(error).__name__}: {error}") from error
    law = getattr(module, attribute, None)
    if isinstance(law, Law):
        return law
    if not callable(law):
        functions = [k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise DataError(f"law {name!r}: {file} has no {attribute}: it has {', '.join(functions) or 'no function'}")
    return law_from_function(law, name)


def law_from_function(function: Callable[..., Any], name: str) -> Law:
    """Makes a law of a plain function: its positional arguments are inputs, the keyword-only ones parameters.

    A parameter's default is its starting value, or a tuple of them; `STARTS` without one. A parameter with a start of 0
    or less may have either sign, unless `bounds` says otherwise.

    Args:
        function: May have attributes with the names of `Law`'s fields, such as bounds, linear, output or units.
        name: Name of the law in errors, and its source where the function has none.

    Raises:
        DataError: The signature has no inputs or no parameters, or takes *args or **kwargs.
    """
    arguments = inspect.signature(function).parameters.values()
    inputs = [p for p in arguments if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    parameters = [p for p in arguments if p.kind is p.KEYWORD_ONLY]
    if not inputs or not parameters or len(inputs) + len(parameters) < len(arguments):
        raise DataError(
            f"law {name!r}: must be a function such as law(N, D, *, E, A=(1, 100), alpha=0.3): inputs, star, parameters"
        )
    fields = {k: getattr(function, k) for k in Law.__dataclass_fields__ if hasattr(function, k)}
    linear = tuple(fields.get("linear", ()))
    starts, bounds = {}, dict(fields.pop("bounds", {}))
    for parameter in parameters:
        if parameter.name in linear:
            continue
        values = STARTS if parameter.default is parameter.empty else parameter.default
        values = tuple(float(v) for v in (values if isinstance(values, tuple | list) else (values,)))
        starts[parameter.name] = values
        bounds.setdefault(parameter.name, (LOW, HIGH) if min(values) > 0 else (-HIGH, HIGH))
    return Law(function, fields.pop("source", name), starts | fields.pop("starts", {}), bounds=bounds, **fields)
