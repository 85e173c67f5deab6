"""Figures of a user's own: `FILE.py:FUNCTION`, `package.module:FUNCTION`, or a function in a notebook.

The function takes a `Source` and returns a Matplotlib figure. It may also take `width`, in inches; `law`, the value of
`--law`; and keyword-only arguments with a default that is a number, a text or a truth value, set by
`--set NAME=VALUE`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from analysis.errors import DataError, code_location, user_code_errors
from analysis.figures.options import FigureOptions
from analysis.figures.source import Source
from scaling.config.user_code import load_object, parse_reference, read_code

STANDARD = ("width", "law")  # arguments that have flags of their own
TRUTH_VALUES = {"true": True, "false": False}

FigureFunction = Callable[..., Figure]


def load_figure(name: str) -> FigureFunction:
    """Loads the function of a figure from a user's file, which is executed, or from an installed module.

    Args:
        name: FILE.py:FUNCTION or package.module:FUNCTION.

    Raises:
        DataError: The file or name does not exist, or the file has an error.
    """
    with user_code_errors():
        function: FigureFunction = load_object(name, kind="a function", accepts=inspect.isfunction)
    return function


def code_digest(name: str) -> str | None:
    """Returns the hash of the content of a user's file, and of its modules that the file imports; None for other names.

    Args:
        name: Name of a figure.
    """
    reference = parse_reference(name)
    return read_code(reference.source).sha256 if reference is not None else None


def used_options(function: FigureFunction) -> tuple[str, ...]:
    """Returns the fields of FigureOptions that a user's figure uses.

    Args:
        function: Function of the figure.
    """
    arguments = inspect.signature(function).parameters
    return (*(name for name in STANDARD if name in arguments), *(["settings"] if _settings(function) else []))


def draw_custom(function: FigureFunction, source: Source, options: FigureOptions) -> Figure:
    """Draws a figure of a user's own.

    Args:
        function: Function of the figure.
        source: Source of the figure.
        options: Law, width and settings.

    Raises:
        DataError: The function raises an error or returns no figure, or a setting is unknown or has a bad value.
    """
    where, names = code_location(function), inspect.signature(function).parameters
    arguments: dict[str, Any] = _parse_settings(function, options.settings, where)
    if "width" in names:
        arguments["width"] = options.inches
    if "law" in names and options.law:
        arguments["law"] = options.law
    with user_code_errors():
        figure = function(source, **arguments)
    if not isinstance(figure, Figure):
        raise DataError(f"{where}: the figure returned {type(figure).__name__}: must be a matplotlib.figure.Figure")
    return figure


def _settings(function: FigureFunction) -> dict[str, Any]:
    """Default of each argument that `--set` can change."""
    arguments = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in arguments if p.kind is p.KEYWORD_ONLY and p.name not in STANDARD}


def _parse_settings(function: FigureFunction, settings: Mapping[str, str], where: str) -> dict[str, Any]:
    defaults = _settings(function)
    for name in settings:
        if name not in defaults:
            raise DataError(f"--set {name}: the figure at {where} has no {name}: must be one of {', '.join(defaults)}")
    return {name: _parse_setting(name, text, defaults[name]) for name, text in settings.items()}


def _parse_setting(name: str, text: str, default: Any) -> Any:
    """The value of a setting, with the type of its default."""
    try:
        if isinstance(default, bool):
            return TRUTH_VALUES[text]
        return type(default)(text) if isinstance(default, int | float) else text
    except (KeyError, ValueError):
        kind = (
            "true or false"
            if isinstance(default, bool)
            else "a whole number"
            if isinstance(default, int)
            else "a number"
        )
        raise DataError(f"--set {name}={text}: must be {kind}") from None
