"""Blocks of a model in a user's file: `model.mlp = "my_blocks.py:SwishMLP"`.

A config names the block by file name, class and content hash, which are part of the run's identity. The file is run
only after the user has named it (`use_code`, from `--code FILE`), and only if its content has this hash.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from scaling.config.user_code.loading import load_object
from scaling.config.user_code.sources import CodeReference, UserCode, UserCodeError, parse_reference, read_code
from scaling.config.validation import require

BLOCK_FIELDS = ("attention", "mlp", "norm")  # of ModelConfig
Model = TypeVar("Model")

_codes: dict[str, UserCode] = {}  # files and modules that the user has named, as references in configs name them


def add_code_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--code` to a command that reads configs or runs."""
    parser.add_argument(
        "--code", action="append", default=[], metavar="FILE.py",
        help="file with blocks of your own, such as model.mlp=FILE.py:NAME; runs the file; may be repeated",
    )  # fmt: skip


def use_code(sources: Iterable[str]) -> None:
    """Allows configs to use blocks of these files; call it only with files that the user has named.

    The files are read now and run when a model needs them.

    Args:
        sources: Paths FILE.py, or dotted names of modules.

    Raises:
        UserCodeError: A file does not exist or is not valid Python, or two have the same name.
    """
    codes: dict[str, UserCode] = {}
    for code in map(read_code, sources):
        other = codes.setdefault(_short_source(code.source), code)
        if other.main.path != code.main.path:
            raise UserCodeError(f"{other.source} and {code.source}: two files of the same name: rename one of them")
    _codes.update(codes)


def code_sources() -> list[str]:
    """Returns the files and modules that the user has named, for the options of a child process."""
    return [str(code.main.path) if code.source.endswith(".py") else code.source for code in _codes.values()]


def named_sources(assignments: Iterable[str]) -> list[str]:
    """Returns the files that assignments such as `model.mlp=my_blocks.py:SwishMLP` name.

    Args:
        assignments: Values of `--set`, as the user gave them; those of `sweeps` may be lists, separated by commas.
    """
    values = (value for assignment in assignments for value in assignment.partition("=")[2].split(","))
    return [reference.source for reference in map(parse_reference, values) if reference is not None]


def require_block(name: str, value: str, allowed: Collection[str]) -> None:
    """Raises ConfigError unless `value` is the name of a block of the package or a reference to one of a user's.

    Args:
        name: Name of the field, for the message.
        value: Its value.
        allowed: Names of the blocks of the package.
    """
    require(
        value in allowed or parse_reference(value) is not None,
        f"{name} = {value!r}: must be one of {', '.join(allowed)}, or FILE.py:NAME",
    )


def user_blocks(model: Any) -> dict[str, CodeReference]:
    """Returns the blocks of a model that are in a user's file, by field.

    Args:
        model: A ModelConfig.
    """
    references = {name: parse_reference(getattr(model, name)) for name in BLOCK_FIELDS if ":" in getattr(model, name)}
    return {name: reference for name, reference in references.items() if reference is not None}


def require_hashes(model: Any) -> None:
    """Raises UserCodeError where the identity of a run is asked for before `resolve_blocks`.

    Args:
        model: A ModelConfig.
    """
    for name, reference in user_blocks(model).items():
        if reference.digest is None:
            raise UserCodeError(f"model.{name} is {reference}: give --code {reference.source} to use this file")


def resolve_blocks(model: Model) -> Model:
    """Returns the model with the content hash in each reference to a user's block.

    Args:
        model: A ModelConfig.

    Raises:
        UserCodeError: The user has not named the file, or its content has another hash.
    """
    canonical: dict[str, str] = {}
    for name, reference in user_blocks(model).items():
        code = _code(f"model.{name}", reference)
        canonical[name] = f"{reference.label}@{code.digest}"
    return dataclasses.replace(model, **canonical) if canonical else model  # type: ignore[type-var]


def load_block(field: str, text: str) -> Any:
    """Runs the file of a user's block and returns the block's class.

    Args:
        field: Field of ModelConfig, for messages.
        text: Its value, a reference with a content hash.

    Raises:
        UserCodeError: The user has not named the file, its content has another hash, or it cannot be loaded.
    """
    reference = parse_reference(text)
    assert reference is not None
    code = _code(f"model.{field}", reference)
    return load_object(
        CodeReference(code.source, reference.name),
        kind="a class of flax.nnx.Module",
        accepts=lambda value: isinstance(value, type),
    )


def _short_source(source: str) -> str:
    return Path(source).name if source.endswith(".py") else source


def _code(name: str, reference: CodeReference) -> UserCode:
    """Returns the file of a reference if the user has named it and it has the content of the reference."""
    code = _codes.get(_short_source(reference.source))
    option = f"--code {reference.source}"
    if code is None:
        raise UserCodeError(f"{name} is {reference}: give {option} to use this file")
    if reference.digest not in (None, code.digest):
        raise UserCodeError(
            f"{name} is {reference}: {code.source} has other content, with the hash {code.digest}: give {option} as it "
            f"was, or write {reference.label} for a new run"
        )
    return code
