"""Corpora and tasks that are functions of a user's file."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from scaling.__main__ import main
from scaling.config.user_code import UserCodeError
from scaling.config.validation import ConfigError
from scaling.data.corpora.specification import corpus_name
from scaling.data.prepare import prepare
from scaling.data.tasks.family import distinct_items, get_family, item_split, parse_task
from scaling.data.tokens import CorpusError, TokenFile, find_corpus, open_tokens
from scaling.evaluation.config import EvaluationOptions
from scaling.evaluation.prompts import bad_tasks, task_name, task_questions
from scaling.evaluation.run import evaluate_run, has_missing
from scaling.store.record import Store
from tests.support.models import byte_run

CORPUS = """
import numpy as np
from scaling import TokenCorpus


def documents(count=150, word="red"):
    for i in range(count):
        yield f"{word} {i}"


def pairs():
    for i in range(200):
        yield np.array([i % 5, (i * i) % 5, 5])


pairs.vocab, pairs.eod = 6, 5


def both():
    return TokenCorpus(lambda: iter([np.arange(9)]), 9, None, "symbols", validation=lambda: iter([np.arange(9)]))


def fails(n=0):
    yield "a"
    yield str(1 / n)


def wrong():
    yield "a"
    yield 7


def numbers():
    yield np.arange(3)


def large():
    yield np.array([0, 6])


large.vocab = 6


def nothing():
    return iter(())


def text():
    return "not documents"
"""
TASK = """
from scaling import Item


def parity(length, randbelow):
    bits = "".join(str(randbelow(2)) for _ in range(length))
    return Item(prompt=f"parity {bits}=", answer=str(bits.count("1") % 2), key=bits, chance=0.5)


parity.difficulties = (2, 16)
parity.question_pattern = r"parity [01]+="


def colour(randbelow):
    n = randbelow(500)
    return Item(prompt=f"colour {n}=", answer="red", key=str(n), chance=None)


def broken(randbelow):
    return 1 / randbelow(1)


def text(randbelow):
    return "a question"


def other(length):
    return None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a corpus and a task."""
    (tmp_path / "mine.py").write_text(CORPUS)
    (tmp_path / "quiz.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text_of(tokens: TokenFile) -> str:
    return bytes(np.concatenate([tokens.train, tokens.validation]).astype(np.uint8)).decode(errors="replace")


def test_documents_of_a_function_become_tokens_named_by_their_content(folder: Path) -> None:
    tokens = open_tokens(prepare("mine.py:documents,count=120,word=blue", folder / "S"))
    assert tokens.documents == 120 and text_of(tokens).count("blue ") == 120
    arrays = open_tokens(prepare("mine.py:pairs", folder / "S"))
    assert (arrays.vocab, arrays.eod, sum(arrays.counts), arrays.documents) == (6, 5, 600, 200)
    whole = open_tokens(prepare("mine.py:both", folder / "S"))
    assert (whole.vocab, *whole.counts) == (9, 9, 9)
    elsewhere = shutil.copytree(folder, folder / "elsewhere", ignore=shutil.ignore_patterns("S"))
    again = open_tokens(prepare(f"{elsewhere}/mine.py:pairs", folder / "T"))
    assert (again.content_hash, again.corpus) == (arrays.content_hash, arrays.corpus)


def test_a_changed_function_is_another_corpus(folder: Path) -> None:
    path = prepare("mine.py:documents", folder / "S")
    name = open_tokens(path).corpus
    assert name == corpus_name("mine.py:documents") and name.startswith("mine.py:documents@")
    assert find_corpus(folder / "S", name) == path == prepare(name, folder / "S")
    (folder / "mine.py").write_text(CORPUS.replace("red", "green"))
    assert find_corpus(folder / "S", corpus_name("mine.py:documents")) is None
    with pytest.raises(UserCodeError, match="has other content"):
        prepare(name, folder / "S")
    assert corpus_name("text:mine.py:x") == "text:mine.py:x" and corpus_name("gone.py:f,a=1") == "gone.py:f,a=1"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mine.py:fails", r"mine\.py, line \d+: ZeroDivisionError: division by zero"),
        ("mine.py:wrong", "document 2 is int: must be text"),
        ("mine.py:numbers", r"yields ndarray: .*set numbers\.vocab"),
        ("mine.py:large", r"document 1 is int64 \(2,\): must be integers from 0 to 5"),
        ("mine.py:nothing", "yields no documents"),
        ("mine.py:text", "returns str: must yield documents"),
        ("mine.py:documents,size=3", "unexpected keyword argument 'size': the arguments of documents are count, word"),
        ("mine.py:missing", "has no missing: it has documents, pairs"),
        ("unknown:spec", "must be one of cpython, .*, or FILE.py:NAME|no module named unknown"),
    ],
)
def test_a_corpus_that_cannot_be_read_says_why(folder: Path, spec: str, message: str) -> None:
    with pytest.raises((UserCodeError, CorpusError), match=message):
        prepare(spec, folder / "S")


def test_a_mixture_takes_documents_and_questions_and_leaves_held_out_ones_out(folder: Path) -> None:
    spec = "mix:mine.py:documents=0.5,quiz.py:parity:4-6=0.5,tokens=2000"
    tokens = open_tokens(prepare(spec, folder / "S"))
    assert tokens.corpus == corpus_name(spec) and tokens.corpus.count("@") == 2
    text = text_of(tokens)
    questions = [line.partition(" ")[2].partition("=")[0] for line in text.splitlines() if line.startswith("parity")]
    assert len(questions) > 20 and {item_split("parity", bits) for bits in questions} == {"train"}
    with pytest.raises(CorpusError, match=r"set the function.s question_pattern"):
        prepare("mix:mine.py:documents=0.5,quiz.py:colour=0.5,tokens=500", folder / "S")


def test_questions_and_split_do_not_depend_on_an_edit_but_the_name_does(folder: Path) -> None:
    before = distinct_items("quiz.py:parity", 8, "held-out", 0, 20)
    label = task_name("quiz.py:parity-8")
    assert (
        label.startswith("parity.")
        and label.endswith("-8")
        and parse_task("quiz.py:colour") == ("quiz.py:colour", None)
    )
    (folder / "sub").mkdir()
    (folder / "sub" / "quiz.py").write_text(TASK)
    assert task_name("sub/quiz.py:parity-8") == label
    (folder / "quiz.py").write_text(TASK + "# edited\n")
    assert distinct_items("quiz.py:parity", 8, "held-out", 0, 20) == before
    assert task_name("quiz.py:parity-8") != label


@pytest.mark.slow
def test_scores_of_a_changed_task_are_not_taken_for_its_own(folder: Path) -> None:
    model, store = byte_run(), Store(folder / "S")
    store.write(model.record)
    options = EvaluationOptions(tasks=("quiz.py:parity-8", "quiz.py:colour"), items=3)
    result = evaluate_run(model, store, options)
    assert not result.errors and sorted(result.scores) == sorted(map(task_name, options.tasks))
    name = model.record.run_id
    assert not has_missing(store, name, 1, options)
    (folder / "quiz.py").write_text(TASK.replace("% 2)", "% 2 )"))
    assert has_missing(store, name, 1, options)
    evaluate_run(model, store, options)
    record = store.read(name)
    assert record is not None and len({key.partition("/")[0] for key in record.evals}) == 4


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("quiz.py:parity", "needs a difficulty, such as quiz.py:parity-2"),
        ("quiz.py:parity-17", "difficulties of quiz.py:parity are 2 to 16"),
        ("quiz.py:colour-3", "quiz.py:colour has no difficulties: leave -3 out"),
        ("quiz.py:broken", r"quiz\.py, line \d+: ZeroDivisionError"),
        ("quiz.py:text", "returns str: must return a scaling.Item"),
        (
            "quiz.py:other-2",
            r"must be a function of \(difficulty, randbelow\) or of \(randbelow\), not of \['length'\]",
        ),
        ("quiz.py:missing-2", "has no missing: it has parity, colour"),
        ("gone.py:parity-2", "gone.py: no such file"),
        ("addition", "a function of yours, FILE.py:NAME-3"),
    ],
)
def test_a_wrong_task_says_why(folder: Path, task: str, message: str) -> None:
    assert list(bad_tasks(EvaluationOptions(tasks=(task,)))) == [task]
    with pytest.raises(ConfigError, match=message):
        task_questions(task, None, seed=0, count=2)
    assert get_family("addition").task(3) == "addition-3"


def test_the_command_names_the_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "mine.py:fails", "--store", "S"]) == 2
    assert capsys.readouterr().err.startswith("scaling prepare: mine.py, line 25: ZeroDivisionError")
