"""Parses JSON; a key that an object has twice is an error that says where, because one of its values would be lost."""

from __future__ import annotations

import json
from typing import Any


class DuplicateKeyError(ValueError):
    """An object has a key twice. The message is where it is in the text, and the key."""


class DuplicateKeys:
    """Makes objects from pairs of keys and values, for `json.JSONDecoder`, and notes those with a key twice."""

    def __init__(self) -> None:
        self.objects: list[tuple[dict[str, Any], str]] = []

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Returns the object of these pairs, the last of equal keys."""
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            self.objects.append((content, next(key for i, key in enumerate(keys) if key in keys[:i])))
        return content

    def check(self, content: Any) -> None:
        """Checks that no object in a parsed text has a key twice.

        Args:
            content: Value of the text.

        Raises:
            DuplicateKeyError: An object has.
        """
        if self.objects:
            target, key = self.objects[0]
            raise DuplicateKeyError("".join(f"{part}, " for part in _path(content, target)) + f"key {key!r} twice")


def parse_json(text: str) -> Any:
    """Parses a text.

    Args:
        text: JSON.

    Raises:
        DuplicateKeyError: An object has a key twice.
        json.JSONDecodeError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    keys = DuplicateKeys()
    content = json.loads(text, object_pairs_hook=keys)
    keys.check(content)
    return content


def _path(content: Any, target: dict[str, Any]) -> list[str]:
    """Rows and members that lead to an object in a value."""
    pending: list[tuple[Any, list[str]]] = [(content, [])]
    while pending:
        value, path = pending.pop()
        if value is target:
            return path
        if isinstance(value, dict):
            pending += [(member, [*path, str(key)]) for key, member in value.items()]
        elif isinstance(value, list):
            pending += [(member, [*path, f"row {i}"]) for i, member in enumerate(value, 1)]
    return []
