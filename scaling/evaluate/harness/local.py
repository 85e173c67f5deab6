"""Benchmarks from local JSON lines, DIR/TASK.jsonl, in the fields that each is published with; checked line by line.

DIR/TASK.shots.jsonl, in the same fields, is what shots are drawn from.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling.config.validation import ConfigError, require

Line = dict[str, Any]
TASKS = Path(__file__).parent / "tasks"


def read_task(task: str, folder: Path) -> tuple[list[Line], list[Line]]:
    """The questions of a task and what its shots are drawn from (maybe nothing), as its YAML reads them.

    ConfigError names the file and the line that is wrong.
    """
    require(task in FORMATS, f"--harness {task}: with --harness-path known are {', '.join(FORMATS)}")
    shots = folder / f"{task}.shots.jsonl"
    return read_lines(task, folder / f"{task}.jsonl"), read_lines(task, shots) if shots.exists() else []


def read_lines(task: str, path: Path) -> list[Line]:
    """A file's lines, each checked and put in order."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}: it is to hold {task}") from None
    found = [
        parse_line(task, said, f"{path}, line {number}")
        for number, said in enumerate(text.splitlines(), 1)
        if said.strip()
    ]
    require(bool(found), f"{path}: holds no question")
    return found


def parse_line(task: str, said: str, where: str) -> Line:
    """One question."""
    fields, order = FORMATS[task]
    try:
        data = json.loads(said)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not JSON: {error.msg}") from None
    missing = [name for name in fields if not isinstance(data, dict) or name not in data]
    require(not missing, f"{where}: no field {', '.join(missing)}: {task} has {', '.join(fields)}")
    for name in fields:
        value = data[name]
        require(value not in ("", [], {}, None), f"{where}: {name} is empty")
        require(
            isinstance(value, FIELD_TYPES.get(name, str)),
            f"{where}: {name} = {value!r}: must be {describe_field(name)}",
        )
    return order(data, where)


FIELD_TYPES: dict[str, Any] = {"choices": (list, dict), "answer": (str, int), "label": list}  # others: text


def describe_field(name: str) -> str:
    return {"choices": "the choices", "answer": "text, or a choice's number"}.get(name, "text")


def mmlu(data: Line, where: str) -> Line:
    """answer: the right choice's number from 0, or its letter."""
    answer, choices = data["answer"], check_texts(data["choices"], where)
    require(len(choices) == 4, f"{where}: {len(choices)} choices: must be 4")
    gold = "ABCD".find(answer) if isinstance(answer, str) and len(answer) == 1 else answer
    known = isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < 4
    require(known, f"{where}: answer = {answer!r}: must be 0 to 3, or A to D")
    return {"question": data["question"].strip(), "choices": choices, "gold": gold}


def gpqa(data: Line, where: str) -> Line:
    """The right answer's place is drawn by the question's own hash: the same everywhere."""
    choices = [data[name].strip() for name in GPQA[1:]]
    draw = random.Random(int.from_bytes(hashlib.sha256(data["Question"].encode()).digest()[:8], "big"))
    order = sorted(range(4), key=lambda _: draw.random())
    question = {"question": data["Question"].strip(), "choices": [choices[i] for i in order]}
    return {**question, "gold": order.index(0)}


def arc(data: Line, where: str) -> Line:
    """choices: {"text": [...], "label": [...]}; answerKey: the right one's label."""
    said = data["choices"] if isinstance(data["choices"], dict) else {}
    choices, labels = check_texts(said.get("text"), where), check_texts(said.get("label"), where)
    require(len(choices) == len(labels), f"{where}: {len(choices)} choices, {len(labels)} labels")
    require(data["answerKey"] in labels, f"{where}: answerKey = {data['answerKey']!r}: labels are {', '.join(labels)}")
    return {"question": data["question"].strip(), "choices": choices, "gold": labels.index(data["answerKey"])}


def gsm8k(data: Line, where: str) -> Line:
    """answer: the way to it, and `#### NUMBER` at its end."""
    way, found = data["answer"], re.search(r"####\s*(-?[\d,]*\.?\d+)\s*$", str(data["answer"]))
    if found is None:
        raise ConfigError(f"{where}: answer = {str(way)[-40:]!r}: must end with #### and a number")
    number = found[1].replace(",", "")
    return {"question": data["question"].strip(), "answer": way, "number": number}


def humaneval(data: Line, where: str) -> Line:
    require(data["entry_point"].isidentifier(), f"{where}: entry_point = {data['entry_point']!r}: must be a name")
    return {name: data[name] for name in ("prompt", "test", "entry_point")}


def text(data: Line, where: str) -> Line:
    return {"text": data["text"]}


def check_texts(value: Any, where: str) -> list[str]:
    """A list of two texts or more."""
    right = isinstance(value, list) and len(value) > 1 and all(isinstance(one, str) and one for one in value)
    if not right:
        raise ConfigError(f"{where}: choices = {value!r}: must be two texts or more")
    return list(value)


GPQA = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Line, str], Line]]] = {  # fields, and what they become
    "mmlu": (("question", "choices", "answer"), mmlu),
    "gpqa_diamond_zeroshot": (GPQA, gpqa),
    "gsm8k": (("question", "answer"), gsm8k),
    "humaneval": (("prompt", "test", "entry_point"), humaneval),
    "arc_challenge": (("question", "choices", "answerKey"), arc),
    "text": (("text",), text),
}
