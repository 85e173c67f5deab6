"""Benchmarks from local JSON lines, DIR/TASK.jsonl, with the fields of the published data sets; each line is checked.

DIR/TASK.shots.jsonl has examples with the same fields, from which the shots are drawn.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scaling.config.validation import ConfigError, require
from scaling.evaluation.json_lines import read_entries

Line = dict[str, Any]
TASKS = Path(__file__).parent / "tasks"
MMLU_CHOICES = 4


@dataclass(frozen=True)
class LocalTask:
    """A benchmark read from files.

    Attributes:
        questions: Its questions, as its YAML file expects them.
        names: Name of each question in its file, such as "line 3".
        examples: Examples for its shots; empty without a file of examples.
        bad: A message for each bad line that was left out.
    """

    questions: list[Line]
    names: list[str]
    examples: list[Line]
    bad: list[str]


def read_task(task: str, folder: Path, *, skip_bad: bool = False) -> LocalTask:
    """Reads the questions of a task and the examples for its shots.

    Args:
        task: Name of the task, one of FORMATS.
        folder: Folder of the files.
        skip_bad: Leave bad lines out.

    Raises:
        ConfigError: The task is unknown, or a line is wrong; the message names the file and the line.
    """
    require(task in FORMATS, f"--harness {task}: with --harness-path, must be one of {', '.join(FORMATS)}")
    parse = partial(parse_line, task)
    shots = folder / f"{task}.shots.jsonl"
    entries, bad = read_entries(folder / f"{task}.jsonl", parse, skip_bad=skip_bad)
    examples, bad_examples = read_entries(shots, parse, skip_bad=skip_bad) if shots.exists() else ([], [])
    return LocalTask(
        [entry.value for entry in entries], [entry.name for entry in entries], [entry.value for entry in examples],
        bad + bad_examples,
    )  # fmt: skip


def parse_line(task: str, data: Any, location: str) -> Line:
    """Checks an object of a file and converts it to what the YAML file of its task expects.

    Args:
        task: Name of the task.
        data: The object.
        location: File and line number, for messages.

    Raises:
        ConfigError: It is not an object, or a field is missing or wrong.
    """
    fields, convert = FORMATS[task]
    missing = [name for name in fields if not isinstance(data, dict) or name not in data]
    require(not missing, f"{location}: missing field {', '.join(missing)}: {task} needs {', '.join(fields)}")
    for name in fields:
        value = data[name]
        field_type, description = FIELD_TYPES.get(name, (str, "text"))
        require(value not in ("", [], {}, None), f"{location}: {name} is empty")
        require(isinstance(value, field_type), f"{location}: {name} = {value!r}: must be {description}")
    return convert(data, location)


FIELD_TYPES: dict[str, tuple[Any, str]] = {  # of fields that are not text, with their description in messages
    "choices": ((list, dict), "the choices"), "answer": ((str, int), "text, or the number of a choice"),
}  # fmt: skip


def mmlu(data: Line, location: str) -> Line:
    """Converts a question of MMLU (Hendrycks 2021); the answer is the index of the correct choice, or its letter.

    Args:
        data: The fields of the line.
        location: File and line number, for messages.
    """
    answer, choices = data["answer"], check_texts(data["choices"], location)
    require(len(choices) == MMLU_CHOICES, f"{location}: {len(choices)} choices: must be {MMLU_CHOICES}")
    gold = "ABCD".find(answer) if isinstance(answer, str) and len(answer) == 1 else answer
    in_range = isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < MMLU_CHOICES
    require(in_range, f"{location}: answer = {answer!r}: must be 0 to 3, or A to D")
    return {"question": data["question"].strip(), "choices": choices, "gold": gold}


def gpqa(data: Line, location: str) -> Line:
    """Converts a question of GPQA (Rein 2023); a hash of the question shuffles its choices, the same everywhere.

    Args:
        data: The fields of the line.
        location: Not used.
    """
    choices = [data[name].strip() for name in GPQA_FIELDS[1:]]
    uniform = random.Random(int.from_bytes(hashlib.sha256(data["Question"].encode()).digest()[:8], "big")).random
    order = sorted(range(len(choices)), key=lambda _: uniform())
    question = {"question": data["Question"].strip(), "choices": [choices[i] for i in order]}
    return {**question, "gold": order.index(0)}


def arc(data: Line, location: str) -> Line:
    """Converts a question of ARC (Clark 2018); answerKey is the label of the correct choice.

    Args:
        data: The fields of the line; choices is {"text": [...], "label": [...]}.
        location: File and line number, for messages.
    """
    lists = data["choices"] if isinstance(data["choices"], dict) else {}
    choices, labels = check_texts(lists.get("text"), location), check_texts(lists.get("label"), location)
    require(len(choices) == len(labels), f"{location}: {len(choices)} choices, {len(labels)} labels")
    known = data["answerKey"] in labels
    require(known, f"{location}: answerKey = {data['answerKey']!r}: labels are {', '.join(labels)}")
    return {"question": data["question"].strip(), "choices": choices, "gold": labels.index(data["answerKey"])}


def gsm8k(data: Line, location: str) -> Line:
    """Converts a question of GSM8K (Cobbe 2021); the answer is the derivation with `#### NUMBER` at its end.

    Args:
        data: The fields of the line.
        location: File and line number, for messages.
    """
    answer, match = data["answer"], re.search(r"####\s*(-?[\d,]*\.?\d+)\s*$", str(data["answer"]))
    if match is None:
        raise ConfigError(f"{location}: answer = {str(answer)[-40:]!r}: must end with #### and a number")
    return {"question": data["question"].strip(), "answer": answer, "number": match[1].replace(",", "")}


def humaneval(data: Line, location: str) -> Line:
    """Converts a problem of HumanEval (Chen 2021).

    Args:
        data: The fields of the line.
        location: File and line number, for messages.
    """
    require(data["entry_point"].isidentifier(), f"{location}: entry_point = {data['entry_point']!r}: must be a name")
    return {name: data[name] for name in ("prompt", "test", "entry_point")}


def text(data: Line, location: str) -> Line:
    """Converts a text whose loss is measured.

    Args:
        data: The fields of the line.
        location: Not used.
    """
    return {"text": data["text"]}


def check_texts(value: Any, location: str) -> list[str]:
    """Returns the value if it is a list of two or more texts; raises ConfigError otherwise.

    Args:
        value: The value of a field.
        location: File and line number, for messages.
    """
    valid = isinstance(value, list) and len(value) > 1 and all(isinstance(entry, str) and entry for entry in value)
    if not valid:
        raise ConfigError(f"{location}: choices = {value!r}: must be two texts or more")
    return list(value)


GPQA_FIELDS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Line, str], Line]]] = {  # fields of a line, and their conversion
    "mmlu": (("question", "choices", "answer"), mmlu),
    "gpqa_diamond_zeroshot": (GPQA_FIELDS, gpqa),
    "gsm8k": (("question", "answer"), gsm8k),
    "humaneval": (("prompt", "test", "entry_point"), humaneval),
    "arc_challenge": (("question", "choices", "answerKey"), arc),
    "text": (("text",), text),
}
