"""The families of tasks: right answers, known chance, one question in one split, the same everywhere."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config.validation import ConfigError
from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import (
    Item,
    check_difficulty,
    distinct_items,
    draw_items,
    get_family,
    item_split,
    parse_task,
    question_pattern,
)
from scaling.store import items as kept
from scaling.store.files import StoreError
from tests.support.evaluation import EASY_DIFFICULTY


def solved_sum(prompt: str) -> str:
    a, b = map(int, re.findall(r"\d+", prompt))
    return str(a + b)


def solved_modular(prompt: str) -> str:
    p, a, b = map(int, re.findall(r"\d+", prompt))
    return str((a + b) % p).zfill(len(str(p - 1)))


def solved_product(prompt: str) -> str:
    a, b = map(int, re.findall(r"\d+", prompt))
    return str(a * b)


def solved_induction(prompt: str) -> str:
    _, text, second = prompt.rstrip("=").split()
    return text[text.index(second) + len(second)]


def solved_recall(prompt: str) -> str:
    *pairs, question = prompt.rstrip("=").split()[1:]
    return dict(pairs)[question]


def solved_lookup(prompt: str) -> str:
    *arrows, at, hops = prompt.rstrip("=").split()[1:]
    for _ in range(int(hops)):
        at = dict(arrows)[at]
    return at


def solved_brackets(prompt: str) -> str:
    text, before = prompt.removeprefix("close ").rstrip("="), ""
    while text != before:
        before, text = text, re.sub(r"\(\)|\[\]|\{\}|<>", "", text)
    return text[::-1].translate(str.maketrans("([{<", ")]}>"))


LOOKUP = "hop mf wk ov xm kx fo lw vl v 2=w\n"

SOLVED: dict[str, Callable[[str], str]] = {
    "addition": solved_sum,
    "reversed-addition": lambda prompt: solved_sum(prompt)[::-1],
    "multiplication": solved_product,
    "modular": solved_modular,
    "sorting": lambda prompt: "".join(sorted(prompt[5:-1])),
    "copying": lambda prompt: prompt[5:-1],
    "induction": solved_induction,
    "recall": solved_recall,
    "lookup": solved_lookup,
    "brackets": solved_brackets,
}


@pytest.mark.parametrize("name", SOLVED)
def test_every_answer_is_right(name: str) -> None:
    for item in distinct_items(name, EASY_DIFFICULTY[name], "train", 0, 60):
        assert item.answer == SOLVED[name](item.with_shots(0))


def test_a_line_through_a_questions_own_points_meets_its_answer() -> None:
    for item in distinct_items("regression", 1, "train", 0, 40):
        points = [tuple(map(int, point.split(">"))) for point in item.examples]
        (x0, y0), (x1, y1) = points[:2]
        slope, odd = divmod(y1 - y0, x1 - x0)
        assert not odd and int(item.answer) == y0 + slope * (int(item.prompt[:-1]) - x0)
        assert all(y == y0 + slope * (x - x0) for x, y in points)


def test_a_letters_name_is_the_one_that_its_question_shows() -> None:
    for item in distinct_items("labelling", 3, "train", 0, 60):
        names = dict(point.rstrip().split(">") for point in item.examples)
        assert all(f"{x}>{name} " in item.examples for x, name in names.items()) and len(set(names.values())) == len(
            names
        )
        assert names.get(item.prompt[0], item.answer) == item.answer and set(names.values()) <= set(item.choices)
        assert sum(point in item.examples for point in set(item.examples)) == len(names)  # a letter has one name


@pytest.mark.parametrize("name", FAMILIES)
def test_no_question_is_in_both_splits(name: str) -> None:
    train, held_out = (distinct_items(name, EASY_DIFFICULTY[name], split, 0, 80) for split in ("train", "held-out"))
    assert len(held_out) >= 20 and not {item.key for item in train} & {item.key for item in held_out}
    assert {item_split(name, item.key) for item in held_out} == {"held-out"}


def test_questions_that_ask_the_same_are_in_one_split() -> None:
    for name in ("addition", "multiplication", "modular"):
        known: dict[str, str] = {}
        for split in ("train", "held-out"):
            for item in distinct_items(name, 13 if name == "modular" else 1, split, 0, 60):
                a, b = re.findall(r"\d+", item.prompt)[-2:]
                assert known.setdefault(f"{min(a, b)} {max(a, b)}", split) == split


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_arguments_give_the_same_questions_and_another_seed_others(name: str) -> None:
    first, second, other = (distinct_items(name, EASY_DIFFICULTY[name], "held-out", seed, 20) for seed in (0, 0, 1))
    assert first == second != other


def test_a_question_never_changes() -> None:
    """Across versions of Python, machines and seeds of its hashes."""
    assert distinct_items("addition", 3, "held-out", 0, 1)[0].solved() == "add 125+746=871\n"
    assert distinct_items("lookup", 2, "held-out", 0, 1)[0].solved() == LOOKUP


@pytest.mark.parametrize("name", FAMILIES)
def test_its_pattern_finds_every_question_in_a_text(name: str) -> None:
    find = question_pattern([name])
    for item in distinct_items(name, EASY_DIFFICULTY[name], "train", 0, 20):
        shown = item.with_shots(len(item.examples))
        assert find.fullmatch(shown)
        assert find.search(f"x = 1\n# {item.solved()}") is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_guess_is_right_as_often_as_chance_says(name: str) -> None:
    minimum = (get_family(name).difficulties or (1, 1))[0]
    for item in distinct_items(name, EASY_DIFFICULTY[name], "train", 0, 20) + distinct_items(
        name, EASY_DIFFICULTY[name], "held-out", 0, 20
    ):
        assert item.chance is not None and 0 < item.chance < 1
        if item.choices:
            assert item.choices.count(item.answer) == 1 and item.chance == 1 / len(item.choices)
    if not item.choices and name != "sorting":  # whose answers depend on the letters
        first = take(name, 5 if name == "modular" else minimum, 1)[0]
        assert first.chance is not None
        assert len({item.answer for item in take(name, 5 if name == "modular" else minimum, 2000)}) <= 1 / first.chance


def take(name: str, difficulty: int, count: int) -> list[Item]:
    stream = draw_items(name, difficulty, "train", 0)
    return [next(stream) for _ in range(count)]


def test_shots_are_other_questions_or_a_questions_own_examples() -> None:
    item, *others = distinct_items("addition", 2, "train", 0, 4)
    assert item.with_shots(2, tuple(others)) == others[0].solved() + others[1].solved() + item.prompt
    line = distinct_items("regression", 1, "train", 0, 1)[0]
    assert line.with_shots(2, tuple(others)) == "fit " + line.examples[0] + line.examples[1] + line.prompt
    assert line.with_shots(0) == "fit " + line.prompt


def test_a_wrong_task_says_what_is_allowed() -> None:
    assert parse_task("reversed-addition-3") == ("reversed-addition", 3)
    for task in ("addition", "addition-x", "algebra-3", ""):
        with pytest.raises(ConfigError, match="must be one of addition, "):
            parse_task(task)
    with pytest.raises(ConfigError, match="difficulties of addition are 1 to 12"):
        check_difficulty("addition", 13)
    with pytest.raises(ConfigError, match="modular-2: has no items in the held-out split"):
        distinct_items("modular", 2, "held-out", 0, 5)


def test_items_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    named = {"task": "addition-3", "family": "addition", "difficulty": 3, "shots": 4, "step": 10}
    text = {"prompt": "1+1=", "answer": "2", "answer_logp": [-0.5, -0.25], "greedy": True}
    exact = {**named, **text, "item": 0, "metric_kind": "exact"}
    choice = {
        **exact,
        "item": 1,
        "metric_kind": "choice",
        "choices": ["2", "3"],
        "choice_logp": [-0.5, -1.5],
        "gold": 0,
    }
    path = kept.write_items(tmp_path, "addition-3", 4, 10, [exact, choice])
    assert path.name == "addition-3@4.10.parquet" and kept.read_items(path) == [exact, choice]
    kept.write_items(tmp_path, "addition-3", 4, 10, [exact])
    kept.write_items(tmp_path, "a/b", 0, 7, [exact])
    assert [(file.task, file.shots, file.step) for file in kept.item_files(tmp_path)] == [
        ("a_b", 0, 7),
        ("addition-3", 4, 10),
    ]
    assert kept.read_items(path) == [exact]
    with pytest.raises(ValueError, match="unknown columns colour"):
        kept.write_items(tmp_path, "addition-3", 0, 1, [{**exact, "colour": 1}])
    path.write_bytes(b"half of it")
    with pytest.raises(StoreError, match="damaged"):
        kept.read_items(path)
