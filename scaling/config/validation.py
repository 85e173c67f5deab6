"""Frozen dataclasses that check themselves: each field coerced to its type, JSON both ways, errors in one line.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar


class ConfigError(ValueError):
    """A config that cannot be: one line that says what was given and what is allowed."""


def require(ok: bool, message: str) -> None:
    if not ok:
        raise ConfigError(message)


def one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    require(value in allowed, f"{what} = {value!r}: allowed are {', '.join(allowed)}")


def positive(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        require(value > 0, f"{type(of).__name__}.{name} = {value}: must be greater than 0")


def not_negative(of: Any, *names: str) -> None:
    for name in names:
        value = getattr(of, name)
        require(value >= 0, f"{type(of).__name__}.{name} = {value}: must be 0 or more")


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """Declared type of each field."""
    return typing.get_type_hints(cls)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        hint = next(arg for arg in hint.__args__ if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        return _coerce_tuple(value, typing.get_args(hint), where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        require(abs(value) < 2**1023, f"{where} = {str(value)[:20]}…: must be finite")
        value = float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    require(fits, f"{where} = {value!r}: must be {getattr(hint, '__name__', hint)}")
    require(not isinstance(value, float) or math.isfinite(value), f"{where} = {value}: must be finite")
    return value


def _coerce_tuple(value: Any, hints: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    require(isinstance(value, list | tuple), f"{where} = {value!r}: must be a list")
    each = hints[:1] * len(value) if hints[-1] is Ellipsis else hints
    require(len(value) == len(each), f"{where} = {list(value)}: must have {len(each)} entries")
    return tuple(_coerce(v, hint, f"{where}[{i}]") for i, (v, hint) in enumerate(zip(value, each, strict=True)))


class Checked:
    """Coerces each field to its declared type (1 becomes 1.0 in a float field: one number, one identity)."""

    def __post_init__(self) -> None:
        for name, hint in field_types(type(self)).items():  # type: ignore[arg-type]
            where = f"{type(self).__name__}.{name}"
            object.__setattr__(self, name, _coerce(getattr(self, name), hint, where))
        self.check()

    def check(self) -> None:
        """Raises ConfigError where the fields cannot stand together."""

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """See `canonical`; made once, for a config never changes."""
        out: dict[str, Any] = {}
        for name, default in identity_fields(type(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            if value != default:
                out[name] = value.identity if isinstance(value, Checked) else value
        return out


Config = TypeVar("Config", bound=Checked)


def to_dict(config: Any) -> dict[str, Any]:
    """Every field, defaults included."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], data: Any, where: str = "") -> Config:
    """The config that `data` (parsed JSON) describes; ConfigError names the field that does not fit."""
    require(isinstance(data, dict), f"{where or cls.__name__} = {data!r}: must be an object")
    hints = field_types(cls)  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(hints))
    require(not unknown, f"{where or cls.__name__}: unknown field {', '.join(unknown)}: known are {', '.join(hints)}")
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.name not in data
    ]
    require(not missing, f"{where or cls.__name__}: missing field {', '.join(missing)}")
    values = {
        name: from_dict(hints[name], value, f"{where}{'.' if where else ''}{name}")
        if dataclasses.is_dataclass(hints[name])
        else value
        for name, value in data.items()
    }
    return cls(**values)


@functools.cache
def identity_fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Name and default of each field that is part of the identity."""
    return tuple((f.name, f.default) for f in dataclasses.fields(cls) if f.metadata.get("identity", True))


def canonical(config: Any) -> dict[str, Any]:
    """The fields that make the identity, those at their defaults left out (a new field keeps every old id)."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in config.identity.items()}
