"""Shots are never the question; every kind of file is read as what it is, and a bad entry named as the user counts."""

import gzip
import json
from pathlib import Path

import pytest

from scaling.config.validation import ConfigError
from scaling.data.tasks.family import item_split
from scaling.evaluation.config import EvaluationOptions
from scaling.evaluation.prompts import bad_tasks, task_questions


def test_shots_come_from_the_training_split_and_are_never_the_question() -> None:
    for question in task_questions("addition-2", 3, seed=0, count=20).questions:
        *shots, own_question = question.prompt.split("\n")
        assert len(set(shots)) == 3 and own_question == question.item.prompt
        for shot in shots:
            a, b = sorted(map(int, shot.removeprefix("add ").partition("=")[0].split("+")))
            assert item_split("addition", f"{a} {b}") == "train"
    assert (
        task_questions("addition-2", 3, seed=0, count=5).questions
        == task_questions("addition-2", 3, seed=0, count=20).questions[:5]
    )
    assert (
        task_questions("addition-2", 3, seed=1, count=5).questions
        != task_questions("addition-2", 3, seed=0, count=5).questions
    )
    assert {question.shots for question in task_questions("regression-1", None, seed=0, count=3).questions} == {8}
    with pytest.raises(ConfigError, match="its questions have 8 examples each"):
        task_questions("regression-1", 9, seed=0, count=3)


def test_a_persons_own_questions_are_each_others_shots(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f'{{"prompt": "{i}?", "answer": "{i}"}}\n' for i in range(4)))
    for question in task_questions(str(path), 3, seed=0, count=9).questions:
        assert question.item.prompt.removesuffix("?") not in question.prompt.removesuffix(question.item.prompt)
    with pytest.raises(ConfigError, match="must be below the number of its questions, 4"):
        task_questions(str(path), 4, seed=0, count=9)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: must be an object"),
        ("5", "line 1: must be an object"),
        ('{"answer": "1"}', "prompt must be text"),
        ('{"prompt": "1"}', "answer must be text, not missing"),
        ('{"prompt": "1", "answer": 1}', "answer must be text, not 1"),
        ('{"prompt": "1", "answer": "\\ud800"}', "has half of a surrogate pair"),
        ('{"prompt": "1", "gold": 1}', "gold needs choices"),
        ('{"prompt": "1", "choices": ["a"], "gold": 0}', "choices must be two texts or more"),
        ('{"prompt": "1", "choices": ["a", "a"], "gold": 0}', "choices must differ"),
        ('{"prompt": "1", "choices": ["a", "b"]}', "gold is missing: must be the index"),
        ('{"prompt": "1", "choices": ["a", "b"], "gold": "C"}', 'gold = "C": must be the index'),
        ('{"prompt": "1", "choices": ["a", "b"], "gold": true}', "gold = true: must be the index"),
        ('{"prompt": "1", "choices": ["B", "A"], "gold": "A"}', "is a choice, and the name of another one"),
        ('{"prompt": "1", "choices": ["a", "b"], "gold": 0, "answer": "b"}', "answer and choices"),
        ('{"prompt": "1", "answer": "1", "chance": true}', "must be between 0 and 1"),
        ('{"prompt": "1", "choices": ["a", "b"], "gold": 2}', "must be the index of the correct choice, 0 to 1"),
        ('{"prompt": "1", "answer": "1", "colour": 1}', "unknown field colour"),
        ('{"prompt": "1", "answer": "1", "chance": 2}', "must be between 0 and 1"),
    ],
)
def test_a_wrong_file_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=message):
        task_questions(str(path), None, seed=0, count=1)


QUESTIONS = [{"prompt": f"{i}\u2028?", "answer": str(i)} for i in range(3)]
LINES = "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in QUESTIONS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", LINES.encode()),
        ("mark.jsonl", LINES.encode("utf-8-sig")),
        ("windows.jsonl", LINES.replace("\n", "\r\n\r\n").encode()),
        ("wide.jsonl", LINES.encode("utf-16")),
        ("big.ndjson", LINES.encode("utf-32")),
        ("array.json", json.dumps(QUESTIONS, indent=1).encode()),
        ("small.jsonl.gz", gzip.compress(LINES.encode())),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_is_read_as_what_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    questions = task_questions(str(tmp_path / name), None, seed=0, count=9).questions
    assert [(q.prompt, q.item.answer) for q in questions] == [(q["prompt"], q["answer"]) for q in QUESTIONS]
    assert {question.task for question in questions} == {name.partition(".")[0]}
    unit, step = ("item", 1) if name.endswith(".json") else ("line", 2 if "windows" in name else 1)
    assert [question.location for question in questions] == [f"{unit} {1 + step * i}" for i in range(3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINES.encode("utf-16-le"), "line 1: not JSON"),
        (b"\xe9" + LINES.encode(), "not UTF-8 at byte 0"),
        (gzip.compress(LINES.encode())[:-9], "cannot be read"),
        (b"\n \n", "has no questions"),
        (b"", "has no questions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.jsonl").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        task_questions(str(tmp_path / "own.jsonl"), None, seed=0, count=9)


@pytest.mark.parametrize("gold", [{"gold": 1}, {"gold": "B"}, {"gold": "y"}, {"answer": "y"}, {"answer": 1}])
def test_the_correct_choice_is_an_index_a_letter_or_its_text(tmp_path: Path, gold: dict) -> None:
    (tmp_path / "own.jsonl").write_text(json.dumps({"prompt": "?", "choices": ["x", "y"], **gold}))
    [question] = task_questions(str(tmp_path / "own.jsonl"), None, seed=0, count=9).questions
    assert question.item.answer == "y"


def test_bad_lines_are_left_out_and_named_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("{\n\n" + LINES + '{"prompt": "no answer"}\n')
    requested = task_questions(str(path), None, seed=0, count=2, skip_bad=True)
    assert [(q.index, q.location) for q in requested.questions] == [(1, "line 3"), (2, "line 4")]
    first, last, count = requested.notes
    assert "line 1: not JSON" in first and "line 6: answer must be text" in last
    assert count == "task own: the first 2 of its 3 questions: --items M sets how many"
    with pytest.raises(ConfigError, match="line 1: not JSON"):
        task_questions(str(path), None, seed=0, count=2)
    path.write_text("{\n{\n")
    with pytest.raises(ConfigError, match=r"none of its 2 entries can be used: .*line 1: not JSON"):
        task_questions(str(path), None, seed=0, count=2, skip_bad=True)


def test_two_files_of_one_name_do_not_mix_their_results(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "own.jsonl" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(LINES)
    bad = bad_tasks(EvaluationOptions(tasks=(str(paths[0]), str(paths[1]), "addition-2", "perplexity")))
    assert list(bad) == [str(paths[1])] and "has the same name as" in bad[str(paths[1])]
