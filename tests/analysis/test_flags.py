"""Every flag of every command and of every figure changes the options that are used, or is refused by name."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import re
from pathlib import Path
from typing import Any

import pytest

from analysis import __main__ as program
from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals.options import EmergenceOptions
from analysis.figures import registry, save
from analysis.figures.options import SCORES, FigureOptions, SourceOptions
from analysis.figures.registry import FIGURES, find_figure
from analysis.figures.source import Source
from analysis.fitting.options import COMMON, FitOptions
from scaling.config.options import option_flags, read_options

TEXTS = ("7", "0.5", "a", "C=2", "0.25", "N=a", "N=1e6,D=1e9", "C=1:9", "a,b", "1e21", "300", "L=bits", "beta=alpha",
         "alpha=0.5", "E=1:2")  # fmt: skip
OUTPUTS = {"json", "out", "csv", "figure", "rows", "help"}  # of the result, not of the computation
REQUIRED = {"target": "C=1e24", "budget": "1e20", "out": "x.pdf", "scores": "a,b", "law": "chinchilla",
            "laws": "chinchilla", "predict": "0.5"}  # fmt: skip


class RecordingNamespace(argparse.Namespace):
    """Parsed arguments that remember which of them were read."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            object.__getattribute__(self, "__dict__").setdefault("_read", set()).add(name)
        return object.__getattribute__(self, name)


@functools.cache
def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    [action] = [a for a in program.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def required_words(parser: argparse.ArgumentParser) -> list[str]:
    """The positional arguments and required flags of a command, for a source that does not exist."""
    words = []
    for action in parser._actions:
        if not action.option_strings:
            words.append({"name": "law"}.get(action.dest, "nothing.csv"))
        elif action.required:
            words += [action.option_strings[-1], REQUIRED.get(action.dest, "C=1e24")]
    return words


def stop(*arguments: object) -> None:
    raise DataError("stopped")


@pytest.mark.parametrize("name", list(commands()))
def test_every_flag_of_a_command_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a command reads its source or computes it has read all of its flags, so that none can be ignored."""
    module = program.COMMANDS[name]
    if hasattr(module, "progress_bar"):  # of a computation without a source
        monkeypatch.setattr(module, "progress_bar", stop)
    parser = commands()[name]
    arguments = parser.parse_args(required_words(parser), RecordingNamespace(command=name))
    with contextlib.suppress(DataError, OSError), contextlib.redirect_stdout(io.StringIO()):
        module.run(arguments)
    flags = {action.dest for action in parser._actions if action.option_strings}
    unread = flags - arguments._read - OUTPUTS
    assert not unread, f"{name} ignores {', '.join(sorted(unread))}"


@functools.cache
def changed_value(options: type, field: str) -> tuple[str | None, Any]:
    """A text of the flag of a field, None for a switch, and the value of the field that differs from its default."""
    default, parse = (
        getattr(options(), field),
        next(f.metadata["parse"] for f in dataclasses.fields(options) if f.name == field),
    )
    if default is False:
        return None, True
    texts = list(TEXTS)
    while texts:
        text = texts.pop(0)
        try:
            value = parse("--flag", text) if parse else type(default)(text) if default is not None else text
            if value == default:  # parsed, but not another value
                continue
            options(**{field: value})
        except DataError as error:
            allowed = re.search(r"one of (.*)", str(error))
            texts += [t for t in allowed[1].split(", ") if t not in TEXTS] if allowed and text == "7" else []
            continue
        except ValueError:
            continue
        return text, value
    raise AssertionError(f"no text of the flag of {field} in TEXTS")


FIELDS = [
    *((FigureOptions, field) for field in option_flags(FigureOptions)),
    *((ReadOptions, field) for field in option_flags(ReadOptions)),
    *((FitOptions, field) for field in COMMON),
    *((EmergenceOptions, field) for field in SCORES),
]


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_flag_of_a_figure_is_used_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that a figure declares arrives where its source is read; another one is refused and named."""
    seen: dict[type, Any] = {}

    def record(*arguments: Any) -> Source:
        for argument in arguments:
            parts = [argument.fits, argument.reading, argument.scores] if isinstance(argument, SourceOptions) else []
            seen.update({type(part): part for part in (argument, *parts)})
        raise DataError("recorded")

    monkeypatch.setattr(save, "load", record)
    module = registry.figure_module(name)
    if hasattr(module, "read"):
        monkeypatch.setattr(module, "read", record)
    used = {*find_figure(name).options, "width", "law"} - ({"law"} - {*find_figure(name).options})
    for options, field in FIELDS:
        text, value = changed_value(options, field)
        flag = option_flags(options)[field]
        words = [name, "nothing.csv", "--out", str(tmp_path / "f.pdf"), flag, *([text] if text else [])]
        seen.clear()
        with pytest.raises(DataError) as raised:
            program.COMMANDS["figure"].run(commands()["figure"].parse_args(words))
        error = str(raised.value)
        assert "\n" not in error
        if field not in used:
            assert f"figure {name} does not use {flag}: it uses" in error, (flag, error)
        elif options is not FigureOptions:
            assert getattr(seen[options], field) == value, flag
        else:
            assert "recorded" in error


def test_a_flag_that_a_figure_does_not_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["figure", "calibration", "nothing", "--out", "f.pdf", "--where", "N>3"]) == 2
    assert "figure calibration does not use --where: it uses --width, --bootstrap" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in FIGURES if "level" in FIGURES[name].options])
def test_the_caption_of_a_figure_states_its_level(name: str) -> None:
    caption = registry.figure_module(name).CAPTION
    assert "95%" not in caption


def test_options_of_a_command_are_those_of_its_flags() -> None:
    parser = commands()["emergence"]
    arguments = parser.parse_args(["t.csv", "--x", "N", "--where", "N>3", "--chance", "0.25", "--tasks", "a,b"])
    assert read_options(EmergenceOptions, arguments).tasks == ("a", "b")
    assert read_options(EmergenceOptions, arguments).chance == {"*": 0.25}
    assert read_options(ReadOptions, arguments).where == "N>3"
