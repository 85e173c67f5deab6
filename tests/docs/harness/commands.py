"""Command lines of a page, accepted or refused by the parsers of the programs themselves."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import shlex
import subprocess
from argparse import ArgumentParser

from tests.docs.harness.blocks import Block
from tests.support.commands import ROOT

PROGRAMS = ("scaling", "sweeps", "analysis")
OPERATORS = re.compile(r"[|&;()<>]+")
PLACEHOLDERS = re.compile(r"\.\.\.|…")
INSTALLERS = {"make", "pip", "uv", "conda", "apt-get"}  # they would change the environment of the tests


def split_commands(code: str) -> list[list[str]]:
    """Returns the simple commands of bash code, each as its words, without redirections and assignments before it.

    Args:
        code: Lines of bash.
    """
    commands: list[list[str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        skip = False
        for word in lexer:
            if skip:  # the target of a redirection
                skip = False
            elif OPERATORS.fullmatch(word):
                if word in (">", ">>", "<", ">&", "&>"):
                    skip = True
                    if words and words[-1] in ("1", "2"):
                        words.pop()
                else:
                    commands.append(words)
                    words = []
            elif words or not re.match(r"\w+=", word):
                words.append(word)
        commands.append(words)
    return [words for words in commands if words]


def first_words(block: Block) -> set[str]:
    """Returns the programs that a block of bash starts; `python -m pip` as `pip`."""
    starts = set()
    for words in split_commands(block.code):
        starts.add(words[2] if words[:2] in (["python", "-m"], ["python3", "-m"]) and len(words) > 2 else words[0])
    return starts


def problems_of(block: Block, *, in_prose: bool = False) -> list[str]:
    """Returns what is wrong with the command lines of a block: unknown commands, flags and targets of make.

    Args:
        block: The block.
        in_prose: Whether a command may lack arguments that it requires, as in "`python -m sweeps launch` prints".
    """
    problems = []
    for words in split_commands(block.code):
        program = words[2] if words[:2] in (["python", "-m"], ["python3", "-m"]) and len(words) > 2 else ""
        if program in PROGRAMS:
            problem = refusal(program, words[3:])
        elif words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            unknown = [target for target in named if not is_target(target)]
            problem = f"no such target of make: {', '.join(unknown)}" if unknown else None
        else:
            problem = None
        if problem and not (in_prose and "arguments are required" in problem):
            problems.append(f"{block.place}: {shlex.join(words)}: {problem}")
    return problems


@functools.cache
def parser(program: str) -> ArgumentParser:
    """Returns the parser of a program."""
    return importlib.import_module(f"{program}.__main__").parser()


def refusal(program: str, words: list[str]) -> str | None:
    """Returns why a program's parser refuses arguments, or None if it accepts them.

    Args:
        program: scaling, sweeps or analysis.
        words: Arguments. Only the command's name is checked if they contain `...`, which stands for others.
    """
    names = next(a.choices for a in parser(program)._actions if a.dest == "command")
    if not words or words == ["--help"]:
        return None
    if words[0] not in (names or ()):
        return f"no such command: {words[0]}"
    if any(PLACEHOLDERS.search(word) for word in words):
        return None
    if program == "sweeps":
        words = importlib.import_module("sweeps.commands.options").separate_arguments(words)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            parser(program).parse_args(words)
        except SystemExit as stop:
            return errors.getvalue().strip().rpartition("error: ")[2] if stop.code else None
    return None


@functools.cache
def make_targets() -> list[str]:
    """Returns the targets of the Makefile, patterns such as `measure-%` included."""
    done = subprocess.run(["make", "-pqrR"], cwd=ROOT, capture_output=True, text=True, check=False)
    rules = re.findall(r"^(# Not a target:\n)?([\w%./ -]+):(?!=)", done.stdout, re.MULTILINE)
    return [name for marked, names in rules if not marked for name in names.split()]


def is_target(name: str) -> bool:
    """Returns whether the Makefile has a rule for a target."""
    return any(re.fullmatch(re.escape(target).replace("%", ".+"), name) for target in make_targets())
