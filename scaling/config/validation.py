"""Frozen dataclasses that validate their fields, conversion to and from JSON, and one-line errors.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import reprlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

LABEL = {"identity": False}  # metadata of a field that does not change the numbers of a run


MAX_INTEGER = 2**63 - 1  # of a field; larger ones overflow in products with floats
NEWER_VERSION = "written by a newer version of scaling: update this installation"


class ConfigError(ValueError):
    """A config that is not valid: one line that says what was given and what is allowed."""


class UnknownFieldError(ConfigError):
    """A config with fields that this version does not have.

    Attributes:
        fields: Their dotted names.
    """

    def __init__(self, name: str, fields: Sequence[str], allowed: Sequence[str]) -> None:
        """Makes the message for a config that the user wrote.

        Args:
            name: Dotted name of the config that has the fields.
            fields: Their names in it.
            allowed: Names that it may have.
        """
        near = {match: None for field in fields for match in difflib.get_close_matches(field, allowed, 1)}
        super().__init__(
            f"{name}: unknown field {', '.join(fields)}: "
            + (f"did you mean {' or '.join(near)}? " if near else "")
            + f"must be one of {', '.join(allowed)}; a field of a newer version of scaling needs an update"
        )
        self.fields = [field if name[:1].isupper() else f"{name}.{field}" for field in fields]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


def shown(value: Any) -> str:
    """Returns a value as it is shown in a message: its repr, with long texts, lists and numbers shortened."""
    return _SHORT.repr(value)


def one_line(error: Exception) -> str:
    """Returns the message of an error as one line, or the name of its class if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def require(condition: bool, message: str) -> None:
    """Raises ConfigError with `message` unless `condition` is true.

    Args:
        condition: The condition.
        message: One line that says what was given and what is allowed.
    """
    if not condition:
        raise ConfigError(message)


def require_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError unless `value` is one of the allowed values.

    Args:
        name: Name of the field or flag, for the message.
        value: Its value.
        allowed: The allowed values.
    """
    require(value in allowed, f"{name} = {value!r}: must be one of {', '.join(allowed)}")


def require_positive(config: Any, *names: str) -> None:
    """Raises ConfigError unless the fields `names` of `config` are greater than 0."""
    for name in names:
        value = getattr(config, name)
        require(value > 0, f"{type(config).__name__}.{name} = {value}: must be greater than 0")


def require_non_negative(config: Any, *names: str) -> None:
    """Raises ConfigError unless the fields `names` of `config` are 0 or more."""
    for name in names:
        value = getattr(config, name)
        require(value >= 0, f"{type(config).__name__}.{name} = {value}: must be 0 or more")


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """Returns the declared type of each field of a dataclass."""
    return typing.get_type_hints(cls)


def _coerce(value: Any, hint: Any, path: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        hint = next(arg for arg in hint.__args__ if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        return _coerce_tuple(value, typing.get_args(hint), path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        require(abs(value) < 2**1023, f"{path} = {str(value)[:20]}…: must be finite")
        value = float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    require(fits, f"{path} = {shown(value)}: must be {getattr(hint, '__name__', hint)}")
    require(
        not isinstance(value, int) or abs(value) <= MAX_INTEGER, f"{path} = {shown(value)}: must be at most 2**63 - 1"
    )
    require(not isinstance(value, float) or math.isfinite(value), f"{path} = {value}: must be finite")
    return value


def _coerce_tuple(value: Any, hints: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    require(isinstance(value, list | tuple), f"{path} = {shown(value)}: must be a list")
    entry_hints = hints[:1] * len(value) if hints[-1] is Ellipsis else hints
    require(len(value) == len(entry_hints), f"{path} = {shown(value)}: must have {len(entry_hints)} entries")
    return tuple(_coerce(v, hint, f"{path}[{i}]") for i, (v, hint) in enumerate(zip(value, entry_hints, strict=True)))


class ValidatedConfig:
    """Base class of configs: coerces each field to its declared type, then calls `check`.

    Coercion gives equal numbers the same identity: 1 in a float field becomes 1.0.
    """

    def __post_init__(self) -> None:
        for name, hint in field_types(type(self)).items():  # type: ignore[arg-type]
            value = getattr(self, name)
            if type(value) is hint and hint is not float and (hint is not int or -MAX_INTEGER <= value <= MAX_INTEGER):
                continue  # nothing to coerce; a plan makes ten thousand configs
            object.__setattr__(self, name, _coerce(value, hint, f"{type(self).__name__}.{name}"))
        self.check()

    def check(self) -> None:
        """Raises ConfigError if the fields are out of range or contradict each other."""

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        """Computed once, because planning a sweep hashes each config and each model about thirty times."""
        return hash(tuple(getattr(self, name) for name, _ in identity_fields(type(self))))  # type: ignore[arg-type]

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The result of `canonical`, computed once because a config never changes."""
        out: dict[str, Any] = {}
        for name, default in identity_fields(type(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            if value != default:
                out[name] = value.identity if isinstance(value, ValidatedConfig) else value
        return out

    @functools.cached_property
    def identity_texts(self) -> dict[str, str]:
        """The canonical JSON of each field of `identity`; runs of a sweep share the texts of equal models."""
        texts = {}
        for name, value in self.identity.items():
            field = getattr(self, name)
            texts[name] = field.identity_text if isinstance(field, ValidatedConfig) else json_text(value)
        return texts

    @functools.cached_property
    def identity_text(self) -> str:
        """The canonical JSON of `identity`."""
        return join_json(self.identity_texts)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def json_text(value: Any) -> str:
    """Returns the canonical JSON of a value: keys sorted, no spaces."""
    return _CANONICAL.encode(value)


def join_json(texts: Mapping[str, str]) -> str:
    """Returns the canonical JSON of an object from the JSON of each of its fields."""
    return "{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}"


Config = TypeVar("Config", bound=ValidatedConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """Returns every field of a config as JSON types, defaults included."""
    if not isinstance(config, ValidatedConfig):
        return dataclasses.asdict(config)
    names = field_types(type(config))  # type: ignore[arg-type]
    values = {name: getattr(config, name) for name in names}  # no value of a field is mutable
    return {name: to_dict(value) if isinstance(value, ValidatedConfig) else value for name, value in values.items()}


def from_dict(cls: type[Config], data: Any, path: str = "") -> Config:
    """Builds a config from parsed JSON.

    Args:
        cls: The config's class.
        data: A dict of its fields; configs inside it are dicts too. Fields with defaults may be absent.
        path: Dotted path of `data` in the whole config, for error messages.

    Raises:
        ConfigError: A field is unknown, missing, or has a value that is not allowed; the message names it.
    """
    name = path or cls.__name__
    require(isinstance(data, dict), f"{name} = {shown(data)}: must be an object")
    hints = field_types(cls)  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(hints)):
        raise UnknownFieldError(name, unknown, list(hints))
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.name not in data
    ]
    require(not missing, f"{name}: missing field {', '.join(missing)}")
    values = {
        key: from_dict(nested, value, f"{path}{'.' if path else ''}{key}")
        if (nested := nested_config(hints[key], value)) is not None
        else value
        for key, value in data.items()
    }
    return cls(**values)


def nested_config(hint: Any, value: Any) -> Any:
    """Returns the class of the config that a field holds, if it is one: `Config`, or `Config | None` with a value."""
    if isinstance(hint, types.UnionType) and value is not None:
        hint = next(arg for arg in hint.__args__ if arg is not type(None))
    return hint if dataclasses.is_dataclass(hint) else None


@functools.cache
def identity_fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Returns name and default of each field that is part of the identity."""
    return tuple((f.name, f.default) for f in dataclasses.fields(cls) if f.metadata.get("identity", True))


def canonical(config: Any) -> dict[str, Any]:
    """Returns the fields that form the identity of a config, without those that have their default value.

    Omitting defaults means that a new field with a default does not change existing ids.
    """
    return {name: dict(value) if isinstance(value, dict) else value for name, value in config.identity.items()}
