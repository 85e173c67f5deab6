"""The verdict is the tests': right programs pass, and no program passes without right answers.

Where a cheat works on tests that run in the interpreter of the program, as they did in earlier versions, that is shown.
"""

import subprocess
import sys

import pytest

from scaling.evaluation.harness.sandbox.isolation import NO_ISOLATION, Isolation
from scaling.evaluation.harness.sandbox.programs import Limits, Problem, program_passes, run_programs

SQUARES = "def check(candidate):\n    assert [candidate(n) for n in (2, 3, 11)] == [4, 9, 121]\n"
ANSWER = Problem("def answer(n):\n", SQUARES, "answer")
MARKER = "7f3b"  # a last line that the program cannot guess, but can read


def single_interpreter_passes(problem: Problem, text: str) -> bool:
    """Runs the program and its tests in one interpreter, and takes its last line for the verdict."""
    source = f"{problem.prompt}{text}\n\n{problem.test}\n\ncheck({problem.entry_point})\n\nprint({MARKER!r})\n"
    result = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, timeout=60, check=False)
    return result.returncode == 0 and result.stdout.rstrip().endswith(MARKER.encode())


EQUAL_TO_ALL = """\
    class Answer:
        __hash__ = None
        __eq__ = lambda self, other: True
    return Answer()
"""
CHEATS = {  # text after the head of the function: whether it passes in a single interpreter
    "reads the marker and leaves": (
        "    pass\nimport os, sys\ntext = open('/proc/self/cmdline').read()\n"
        "os.write(1, text[text.rindex('print(') + 7 :][:4].encode())\nos._exit(0)\n",
        True,
    ),
    "an answer equal to everything": (EQUAL_TO_ALL, True),
    "a number equal to everything": (EQUAL_TO_ALL.replace("class Answer:", "class Answer(int):"), True),
    "a list equal to everything": (EQUAL_TO_ALL.replace("class Answer:", "class Answer(list):"), True),
    "replaces assertions": (
        "    import sys\n    sys._getframe(1).f_globals['check'] = None\n"
        "    import os\n    os.write(1, b'7f3b')\n    os._exit(0)\n",
        True,
    ),
    "a built-in function replaced": (
        "    import builtins\n    builtins.list = builtins.all = builtins.compile = lambda *_: True\n    return None\n",
        False,
    ),
    "leaves early": ("    raise SystemExit(0)\n", False),
    "leaves while it is loaded": ("    pass\nraise SystemExit(0)\n", False),
    "leaves without clean-up": ("    import os\n    os._exit(0)\n", False),
    "leaves with the tester's status": ("    import os\n    os._exit(40)\n", False),
    "leaves with that status while it is loaded": ("    pass\nimport os\nos._exit(40)\n", False),
    "ends with an error": ("    raise ValueError\n", False),
    "ends the iteration of the tests": ("    raise StopIteration\n", False),
    "has a syntax error": ("    return (\n", False),
    "lacks the function": ("    pass\ndel answer\n", False),
    "recurses without end": ("    return answer(n)\n", False),
    "returns a list in itself": ("    x = []\n    x.append(x)\n    return x\n", False),
    "returns a huge text": ("    return 'x' * (5 * 2**20)\n", False),
    "returns numbers without end": ("    import itertools\n    return itertools.repeat(1, 10**9)\n", False),
    "returns a function": ("    return lambda: n * n\n", False),
    "returns an iterator": ("    yield n * n\n", False),
    "kills its parent": ("    import os\n    os.kill(os.getppid() or 1, 9)\n    return None\n", False),
    "prints 100 MB": ("    for _ in range(100):\n        print('x' * 2**20)\n    return None\n", False),
}


WORKING = [name for name, (_, works) in CHEATS.items() if works]
OTHERS = [name for name in CHEATS if name not in WORKING]


@pytest.mark.parametrize("name", WORKING)
def test_a_cheat_works_in_a_single_interpreter(name: str) -> None:
    assert single_interpreter_passes(ANSWER, CHEATS[name][0])


@pytest.mark.parametrize("names", [WORKING, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["working", "others"])
def test_no_cheat_passes(names: list[str], isolation: Isolation) -> None:
    programs = [(ANSWER, CHEATS[name][0]) for name in names]
    passed = run_programs([*programs, (ANSWER, "    return n * n\n")], isolation, Limits(cpu_seconds=1))
    assert [name for name, is_passed in zip([*names, "right"], passed, strict=True) if is_passed] == ["right"]


WRITE = """    pass
import json, os, struct

def frame(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("=I", len(data)) + data

data = {data}
for descriptor in range(32):
    try:
        os.write(descriptor, data)
    except OSError:
        pass
{ending}
"""
FORGERIES = {  # what a program writes to all its files while it is loaded; the first answer is right where it says 4
    "one right answer": "frame(['value', None]) + frame(['value', 4])",
    "answers of the wrong kind": "frame(['value', None]) + frame({'value': 4})",
    "an answer without value": "frame(['value', None]) + frame(['value'])",
    "an error that is none": "frame(['value', None]) + frame(['error', 5, 6])",
    "an error of no class": "frame(['value', None]) + frame(['error', ['print', 'object', 'SystemExit'], ''])",
    "the end of the iteration": "frame(['value', None]) + frame(['error', ['StopIteration', 'Exception'], ''])",
    "no JSON": "frame(['value', None]) + frame(b'{')",
    "deep JSON": "frame(['value', None]) + frame(b'[' * 10**6)",
    "a huge number": "frame(['value', None]) + frame(b'[\"value\", ' + b'9' * 10**6 + b']')",
    "a type that is not sent": "frame(['value', None]) + frame(['value', ['eval', '1']])",
    "a length beyond the limit": "struct.pack('=I', 2**32 - 1)",
    "an end within an answer": "frame(['value', None]) + frame(['value', 4])[:-1]",
    "200 MB": "b'x' * 200 * 2**20",
    "nothing": "b''",
}
LEAVE = "os._exit(0)"


@pytest.mark.slow
def test_forged_answers_do_not_pass(isolation: Isolation) -> None:
    programs = {name: WRITE.format(data=data, ending=LEAVE) for name, data in FORGERIES.items()}
    programs["nothing, without files"] = WRITE.format(data="b''", ending="os.closerange(0, 32)\nwhile True: pass")
    passed = run_programs([(ANSWER, text) for text in programs.values()], isolation, Limits(cpu_seconds=1))
    assert [name for name, is_passed in zip(programs, passed, strict=True) if is_passed] == []


def test_an_answer_ahead_of_its_question_counts_where_it_is_right(isolation: Isolation) -> None:
    """A program may answer what it likes: the forgeries above fail for what they say, not for how it is sent."""
    data = "frame(['value', None]) + frame(['value', 4]) + frame(['value', 9]) + frame(['value', 121])"
    ending = "import time; time.sleep(60)"
    assert program_passes(ANSWER, WRITE.format(data=data, ending=ending), isolation)
    assert not program_passes(ANSWER, WRITE.format(data=data.replace("121", "122"), ending=ending), isolation)


def test_the_tests_are_nowhere_in_the_program(isolation: Isolation) -> None:
    """Neither in objects, nor in arguments or files; without a sandbox, a single interpreter has them."""
    search = """
    import gc, os, sys
    name = "s3cr_t".replace("_", "e")
    found = name in repr([entry for entry in gc.get_objects() if type(entry) in (dict, list, tuple, str)])
    for path in ("/proc/self/cmdline", f"/proc/{os.getppid()}/cmdline"):
        found = found or (os.path.exists(path) and name in open(path).read())
    return found
"""
    problem = Problem("def search():\n", "def check(search):\n    s3cret = 1\n    assert search()\n", "search")
    assert single_interpreter_passes(problem, search)
    assert not program_passes(problem, search, isolation)


RIGHT = {  # prompt, text, test
    "a helper of the prompt": (
        "import math\n\ndef poly(xs, x):\n    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n\n"
        "def root(xs):\n    '''A root of poly.'''\n",
        "    return -xs[0] / xs[1]\n",
        "def check(candidate):\n    assert poly([1, 2], candidate([1, 2])) == 0\n",
    ),
    "the function by its name": (
        "@staticmethod\ndef root(x):\n",
        "    return x\n",
        "def check(candidate):\n    assert tuple(candidate([1])) == tuple(root([1])) == (1,)\n",
    ),
    "keywords": (
        "def root(x, *, y=1):\n",
        "    return x, y\n",
        "def check(candidate):\n    assert candidate(1, y=2) == (1, 2) == candidate(x=1, y=2)\n",
    ),
    "an expected error": (
        "def root(x):\n",
        "    raise KeyError('no ' + x)\n",
        "def check(candidate):\n    try:\n        candidate('x')\n    except LookupError as error:\n"
        "        assert error.args == ('\\'no x\\'',)\n    else:\n        assert False\n",
    ),
    "an error of its own class": (
        "class OwnError(ValueError):\n    pass\n\ndef root(x):\n",
        "    raise OwnError\n",
        "def check(candidate):\n    try:\n        candidate('x')\n    except ValueError:\n        return\n"
        "    assert False\n",
    ),
    "values of all types": (
        "def root(x):\n",
        "    return x\n",
        "def check(candidate):\n    values = [None, True, 1, 10**5000, -2**70, 1.5, float('inf'), 'é\\ud800\\0',\n"
        "        b'\\xff', 2j, (1, (2,)), {1, 2}, frozenset('a'), {1: [2], (3,): {}}, {'a': None}, [], [()]]\n"
        "    for value in values:\n        assert candidate(value) == value and type(candidate(value)) is type(value)\n"
        "    assert str(candidate(float('nan'))) == 'nan' and str(candidate(-0.0)) == '-0.0'\n",
    ),
    "instances of subclasses": (
        "from collections import Counter, namedtuple\n\ndef root(x):\n",
        "    return Counter(x), namedtuple('P', 'a')(1)\n",
        "def check(candidate):\n    assert candidate('aab') == ({'a': 2, 'b': 1}, (1,))\n",
    ),
    "an iterator where the test takes one": (
        "def root(n):\n",
        "    yield from range(n)\n",
        "def check(candidate):\n    assert list(candidate(3)) == [0, 1, 2] and candidate(3) != [0, 1, 2]\n",
    ),
    "modules, threads and temporary files": (
        "import bisect, collections, datetime, decimal, hashlib, heapq, itertools, random, re, statistics, string\n"
        "from dataclasses import dataclass\nfrom typing import List\n\ndef root(x: List[int]) -> List[int]:\n",
        "    import concurrent.futures, tempfile\n"
        "    with tempfile.TemporaryFile() as file:\n        file.write(b'x')\n"
        "    with concurrent.futures.ThreadPoolExecutor(4) as pool:\n        return list(pool.map(abs, x))\n",
        "def check(candidate):\n    assert candidate([-1, 2]) == [1, 2]\n",
    ),
    "a script's last lines": (
        "def root(x):\n",
        "    return x\n\nif __name__ == '__main__':\n    print(root(1))\n",
        "def check(candidate):\n    assert candidate(1) == 1\n",
    ),
    "what the program prints and reads": (
        "def root(x):\n",
        "    print('x' * 2**20)\n    try:\n        return input()\n    except EOFError:\n        return x\n",
        "def check(candidate):\n    print('the tests print, too')\n    assert candidate(1) == 1\n",
    ),
}


def test_right_programs_pass(isolation: Isolation) -> None:
    passed = run_programs([(Problem(prompt, test, "root"), text) for prompt, text, test in RIGHT.values()], isolation)
    assert [name for name, is_passed in zip(RIGHT, passed, strict=True) if not is_passed] == []


@pytest.mark.slow
def test_the_tests_of_right_programs_fail_wrong_ones(isolation: Isolation) -> None:
    programs = [(Problem(prompt, test, "root"), text) for prompt, text, test in RIGHT.values()]
    assert not any(run_programs([(problem, "    return 'wrong'\n") for problem, _ in programs], isolation))


@pytest.mark.slow
def test_the_verdict_does_not_depend_on_the_isolation(isolation: Isolation) -> None:
    programs = [(Problem(prompt, test, "root"), text) for prompt, text, test in RIGHT.values()]
    assert all(run_programs(programs, NO_ISOLATION))
    harmless = [text for name, (text, _) in CHEATS.items() if name != "kills its parent"]
    assert not any(run_programs([(ANSWER, text) for text in harmless], NO_ISOLATION, Limits(cpu_seconds=1)))
