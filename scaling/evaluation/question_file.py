"""Checks the questions of a user's file: each entry is a question with its answer, or with its choices."""

from __future__ import annotations

import json
import string
from typing import Any

from scaling.config.validation import require
from scaling.data.tasks.family import Item

LINE_FIELDS = ("prompt", "answer", "choices", "gold", "chance")
LETTERS = string.ascii_uppercase  # names of the choices
MAX_SHOWN = 60  # characters of a value in a message


def parse_item(data: Any, location: str) -> Item:
    """Checks an object of a user's file and returns its item.

    {"prompt": ..., "answer": ...}, or {"prompt": ..., "choices": [...], "gold": 0} with the correct choice as its
    index from 0, as its letter, or as its text (also in `answer`); "chance" is optional.

    Args:
        data: The object.
        location: File and line number, for messages.

    Raises:
        ConfigError: It is not an object, or a field is wrong.
    """
    fields = "an object with prompt and answer, or prompt, choices and gold"
    require(isinstance(data, dict), f"{location}: must be {fields}, not {short_repr(data)}")
    unknown = [key for key in data if key not in LINE_FIELDS]
    require(not unknown, f"{location}: unknown field {', '.join(unknown)}: must be one of {', '.join(LINE_FIELDS)}")
    prompt, answer, choices = check_text(data, "prompt", location), data.get("answer"), data.get("choices")
    if choices is None:
        require("gold" not in data, f"{location}: gold needs choices: without choices, give answer")
        answer = check_text(data, "answer", location)
    else:
        answer = choices[correct_choice(data, check_choices(choices, location), location)]
    chance = data.get("chance", 1 / len(choices) if choices else None)
    is_number = isinstance(chance, int | float) and not isinstance(chance, bool)
    require(
        chance is None or (is_number and 0 <= chance <= 1),
        f"{location}: chance = {chance!r}: must be between 0 and 1",
    )
    return Item(prompt=prompt, answer=answer, key=prompt, chance=chance, choices=tuple(choices or ()))


def check_text(data: dict[str, Any], name: str, location: str) -> str:
    """Returns a field that must be text; raises ConfigError for another type, empty text, or half a character.

    Args:
        data: The object.
        name: Name of the field.
        location: File and line number, for messages.
    """
    value = data.get(name)
    given = short_repr(value) if name in data else "missing"
    require(isinstance(value, str) and value != "", f"{location}: {name} must be text, not {given}")
    require(is_encodable(str(value)), f"{location}: {name} = {short_repr(value)}: has half of a surrogate pair")
    return str(value)


def check_choices(choices: Any, location: str) -> list[str]:
    """Returns the choices; raises ConfigError unless they are two or more different texts.

    Args:
        choices: Value of the field.
        location: File and line number, for messages.
    """
    valid = isinstance(choices, list) and len(choices) > 1
    valid = valid and all(isinstance(choice, str) and choice and is_encodable(choice) for choice in choices)
    require(valid, f"{location}: choices must be two texts or more, not {short_repr(choices)}")
    repeated = next((choice for choice in choices if choices.count(choice) > 1), None)
    require(repeated is None, f"{location}: choices has {short_repr(repeated)} twice: choices must differ")
    return list(choices)


def correct_choice(data: dict[str, Any], choices: list[str], location: str) -> int:
    """Returns the index of the correct choice, from 0; `gold` or `answer` has it as index, letter or text.

    Args:
        data: The object.
        choices: Its choices.
        location: File and line number, for messages.

    Raises:
        ConfigError: Neither field has it, it is not among the choices, or what is given has two meanings.
    """
    given = {name: data[name] for name in ("gold", "answer") if data.get(name) is not None}
    last = len(choices) - 1
    allowed = f"must be the index of the correct choice, 0 to {last}, its letter or its text"
    require(bool(given), f"{location}: gold is missing: {allowed}")
    meanings = {name: choice_meanings(value, choices) for name, value in given.items()}
    for name, indices in meanings.items():
        require(bool(indices), f"{location}: {name} = {short_repr(given[name])}: {allowed}")
    common = set.intersection(*meanings.values())
    if len(given) > 1:
        require(bool(common), f"{location}: answer and choices[gold] differ: leave answer out")
    name, value = next(iter(given.items()))
    require(
        len(common) == 1,
        f"{location}: {name} = {short_repr(value)}: is a choice, and the name of another one: give the index from 0",
    )
    return common.pop()


def choice_meanings(value: Any, choices: list[str]) -> set[int]:
    """Returns the indices of the choices that a value may stand for: as index, as text, or as letter.

    Args:
        value: Value of gold or answer.
        choices: The choices.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return {value} & set(range(len(choices)))
    if not isinstance(value, str):
        return set()
    meanings = {choices.index(value)} if value in choices else set()
    if len(value) == 1 and value in LETTERS[: len(choices)]:
        meanings.add(LETTERS.index(value))
    return meanings


def is_encodable(text: str) -> bool:
    """Whether a text can be encoded: JSON may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def short_repr(value: Any) -> str:
    """Returns the value as in JSON, cut to MAX_SHOWN characters."""
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
