"""A user's own law: `my.py:law` names a function, or a Law, in a file of theirs. Their file is run, as they asked."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from analysis.laws.law import Law

LOW, HIGH = 1e-12, 1e80  # bounds of a parameter whose own are not given and whose starts are all positive


def load(name: str) -> Law:
    """The law of "FILE.py:NAME". Raises DataError: no file, no such name, or a signature that says too little."""
    file, _, wanted = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"law {name!r}: {file} is not there: a law of your own is FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"law {name!r}: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is theirs to mend, and is said in one line
        raise DataError(f"law {name!r}: {file} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, wanted, None)
    if isinstance(found, Law):
        return found
    if not callable(found):
        functions = [k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
        raise DataError(f"law {name!r}: {file} has no {wanted}: it has {', '.join(functions) or 'no function'}")
    return of(found, name)


def of(function: Callable[..., Any], name: str) -> Law:
    """A plain function as a law: its positional arguments are inputs, the keyword-only ones parameters.

    A parameter's default is its start, or a tuple of starts; without one it starts from 0.1, 1 and 10. The function
    may carry attributes of the same names as Law's fields: bounds, linear, powers, constants, output, objective, units,
    columns, signed, source. A parameter with a start of 0 or less may have any sign, unless `bounds` says otherwise.
    """
    takes = inspect.signature(function).parameters.values()
    inputs = [p for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    params = [p for p in takes if p.kind is p.KEYWORD_ONLY]
    if not inputs or not params or len(inputs) + len(params) < len(takes):
        raise DataError(
            f"law {name!r}: must be a function such as law(N, D, *, E, A=(1, 100), alpha=0.3): inputs, star, parameters"
        )
    fields = {k: getattr(function, k) for k in Law.__dataclass_fields__ if hasattr(function, k)}
    linear = tuple(fields.get("linear", ()))
    starts, bounds = {}, dict(fields.pop("bounds", {}))
    for p in params:
        if p.name in linear:
            continue
        values = (0.1, 1.0, 10.0) if p.default is p.empty else p.default
        starts[p.name] = tuple(float(v) for v in (values if isinstance(values, tuple | list) else (values,)))
        positive = min(starts[p.name]) > 0
        bounds.setdefault(p.name, (LOW, HIGH) if positive else (-HIGH, HIGH))
    return Law(function, fields.pop("source", name), starts | fields.pop("starts", {}), bounds=bounds, **fields)
