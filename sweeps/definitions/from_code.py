"""Sweeps in a user's own file: FILE.py:NAME or package.module:NAME, a function or a Definition; or such an object."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.user_code import CodeReference, load_object, user_errors
from scaling.config.user_code.blocks import resolve_blocks, use_code
from sweeps.definitions.definition import Definition
from sweeps.errors import SweepError
from sweeps.planning.settings import takes

DEFAULT_CORPUS = "cpython"  # of a function with a parameter `corpus`: text that every Python installation has


def code_definition(reference: CodeReference) -> Definition:
    """Returns the sweep in a user's file or module, which is run.

    Args:
        reference: The function or Definition, as the user named it on the command line or in a Python call.

    Raises:
        ConfigError: The file, or an object of this name, does not exist, or the file raises an error.
        SweepError: The object is not a sweep.
    """
    use_code([reference.source])
    value = load_object(reference, kind="a function that returns run configs, or a Definition", accepts=_is_sweep)
    definition = object_definition(value, str(reference))
    return definition._replace(code=tuple(dict.fromkeys([reference.source, *definition.code])))


def object_definition(value: Callable[..., Any] | Definition, source: str) -> Definition:
    """Returns the sweep of a function or a Definition, whose result is checked.

    Args:
        value: The function or Definition.
        source: Where it is, for messages.
    """
    if isinstance(value, Definition):
        return value._replace(make=_checked(value.make, source))
    make = _checked(value, source)
    return Definition(make, DEFAULT_CORPUS if takes(make, "corpus") else None)


def _is_sweep(value: Any) -> bool:
    return isinstance(value, Definition) or (callable(value) and not isinstance(value, type))


def _checked(make: Callable[..., Any], source: str) -> Callable[..., list[RunConfig]]:
    """Returns the function with the same parameters, whose errors name file and line and whose result is checked."""
    if not callable(make):
        raise SweepError(f"{source}: Definition.make is {type(make).__name__}: must be a function")

    @functools.wraps(make)
    def checked(*args: Any, **kwargs: Any) -> list[RunConfig]:
        with user_errors():
            result = make(*args, **kwargs)
            configs = list(result) if isinstance(result, Iterator) else result
        return check_configs(configs, source)

    return checked


def check_configs(configs: Any, source: str) -> list[RunConfig]:
    """Returns the runs that a function returned; raises SweepError unless they are a list of RunConfig.

    Args:
        configs: What it returned.
        source: The function, for the message.
    """
    allowed = "must return a list of RunConfig (scaling.config.RunConfig)"
    if not isinstance(configs, Sequence) or isinstance(configs, str):
        raise SweepError(f"{source}: returned {type(configs).__name__}: {allowed}")
    for i, config in enumerate(configs):
        if not isinstance(config, RunConfig):
            raise SweepError(f"{source}: entry {i} of its result is {type(config).__name__}: {allowed}")
    return list(configs)


def with_block_hashes(config: RunConfig) -> RunConfig:
    """Returns a run with the content hash in each name of a user's block, `my.py:NAME`, which its identity needs.

    Raises:
        ConfigError: The user has not named the file, or its content has another hash.
    """
    model = resolve_blocks(config.model)
    return config if model is config.model else dataclasses.replace(config, model=model)
