"""Command-line flags derived from the fields of a dataclass, so that each option is described once.

Standard library only: `scaling`, `sweeps` and `analysis` build their parsers with it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection
from typing import Any, TypeVar

Options = TypeVar("Options")
Parse = Callable[[str, str], Any]


def option(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    parse: Parse | None = None,
    flag: str | None = None,
) -> Any:
    """Declares a dataclass field that is also a command-line flag.

    Args:
        default: Value without the flag; False makes a switch. A list or dict is copied for each instance.
        help: Text of `--help`, which also documents the field.
        metavar: Name of the value in `--help`.
        parse: Function (flag, text) -> value that raises the package's error for bad input. None: integers and floats
            are parsed according to the type of the default.
        flag: The flag, `--name-of-the-field` unless given.
    """
    metadata = {"help": help, "metavar": metavar, "parse": parse, "flag": flag}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def add_options(
    parser: argparse._ActionsContainer, options: type, *, only: Collection[str] = (), leave_out: Collection[str] = ()
) -> None:
    """Adds a flag for each field of a dataclass that was declared with `option`.

    Args:
        parser: A parser or an argument group.
        options: The dataclass.
        only: Names of the fields to add, all unless given.
        leave_out: Names of the fields to omit.
    """
    for field in _flags(options):
        if field.name in leave_out or (only and field.name not in only):
            continue
        name, parse = _flag(field), field.metadata["parse"]
        if field.default is False:
            parser.add_argument(name, dest=field.name, action="store_true", help=field.metadata["help"])
            continue
        numeric = type(field.default) if parse is None and type(field.default) in (int, float) else None
        kind: dict[str, Any] = {"type": numeric} if numeric else {}
        default = None if parse is not None else field.default
        parser.add_argument(
            name,
            dest=field.name,
            default=default,
            metavar=field.metadata["metavar"],
            help=field.metadata["help"],
            **kind,
        )


def read_options(options: type[Options], arguments: argparse.Namespace, *, only: Collection[str] = ()) -> Options:
    """Builds the dataclass from parsed arguments; fields without a flag in this command keep their defaults.

    Args:
        options: The dataclass.
        arguments: Result of the parser that `add_options` added the flags to.
        only: Names of the fields to read, all unless given.
    """
    values: dict[str, Any] = {}
    for field in _flags(options):
        if only and field.name not in only:
            continue
        value = getattr(arguments, field.name, None)
        if value is None:
            continue
        parse = field.metadata["parse"]
        values[field.name] = parse(_flag(field), value) if parse is not None and isinstance(value, str) else value
    return options(**values)


def format_options(options: Any, *, only: Collection[str] = ()) -> list[str]:
    """Returns the flags of the options that differ from their defaults: the inverse of `read_options`.

    Args:
        options: An instance of a dataclass whose fields were declared with `option`.
        only: Names of the fields to format, all unless given.
    """
    words: list[str] = []
    for name, flag in changed_flags(options).items():
        if only and name not in only:
            continue
        value = getattr(options, name)
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in value.items())
        elif isinstance(value, tuple):
            value = ",".join(map(str, value))
        words += [flag] if value is True else [flag, str(value)]
    return words


def changed_flags(options: Any) -> dict[str, str]:
    """Returns the flag of each field that differs from its default, by the name of the field.

    Args:
        options: An instance of a dataclass whose fields were declared with `option`.
    """
    default = type(options)()
    fields = _flags(type(options))
    return {f.name: _flag(f) for f in fields if getattr(options, f.name) != getattr(default, f.name)}


def option_flags(options: type) -> dict[str, str]:
    """Returns the flag of each field that was declared with `option`, by the name of the field."""
    return {field.name: _flag(field) for field in _flags(options)}


def _flags(options: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(options) if "help" in field.metadata]


def _flag(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata["flag"] or "--" + field.name.replace("_", "-"))
