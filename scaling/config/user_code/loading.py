"""Runs a user's file and returns an object in it; errors in it become one line with file and line."""

from __future__ import annotations

import ast
import contextlib
import dis
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from scaling.config.text import printable
from scaling.config.user_code.process_exit import refuse_exit
from scaling.config.user_code.sources import (
    CodeReference,
    SourceFile,
    UserCode,
    UserCodeError,
    parse_file,
    parse_reference,
    read_code,
    shown_path,
)
from scaling.config.user_code.time_limit import UserCodeTimeout, time_limit

IMPORT_SECONDS = 120.0  # time limit of running a user's file; imports of large libraries take up to a minute

_modules: dict[str, SourceFile] = {}  # modules that users' files import, by name: read once, run as they were hashed
_loaded: dict[tuple[Path, str], ModuleType] = {}  # users' files by path and content hash
_imported: dict[str, str] = {}  # content hash of each installed module when it was imported
_user_files: set[str] = set()  # paths of everything above, as in tracebacks


def load_object(
    reference: str | CodeReference, *, kind: str = "an object", accepts: Callable[[Any], bool] = lambda _: True
) -> Any:
    """Runs a user's file, or imports a module, and returns the object that a reference names.

    The file is run once per process and content. Call this only for a reference that the user gave on the command
    line or in a Python call, never for one that was read from a config, record or data file.

    Args:
        reference: `FILE.py:NAME` or `package.module:NAME`.
        kind: What the object must be, for messages, such as "a function".
        accepts: Whether an object is of this kind.

    Raises:
        UserCodeError: The file or name does not exist, the file raises an error, its content does not have the hash of
            the reference, or the object is not of this kind.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if parsed is None:
        raise UserCodeError(f"{reference!r}: must be FILE.py:NAME or package.module:NAME")
    code = read_code(parsed.source)
    if parsed.digest not in (None, code.digest):
        raise UserCodeError(
            f"{parsed.label}@{parsed.digest}: {parsed.source} has other content, with the hash {code.digest}: give the "
            "file as it was"
        )
    module = load_module(code)
    value = getattr(module, parsed.name, None)
    fitting = [name for name in _defined_names(code.main) if accepts(getattr(module, name, None))]
    if not hasattr(module, parsed.name):
        raise UserCodeError(f"{parsed}: {parsed.source} has no {parsed.name}: it has {', '.join(fitting) or 'none'}")
    if not accepts(value):
        has = f": {parsed.source} has {', '.join(fitting)}" if fitting else ""
        raise UserCodeError(f"{parsed}: is {type(value).__name__}: must be {kind}{has}")
    return value


def load_module(code: UserCode) -> ModuleType:
    """Runs a user's file, or imports a module; once per content.

    Args:
        code: The file or module, as `read_code` returns it.

    Raises:
        UserCodeError: It raises an error, or a module that it imports has the name of another one.
    """
    files = [code.main, *code.modules.values()]
    _user_files.update(str(file.path) for file in files)
    if not code.source.endswith(".py"):
        return _import_module(code)
    key = (code.main.path, code.sha256)
    if key not in _loaded:
        _register_modules(code)
        name = f"{code.main.path.stem}@{code.digest}"
        loader = _Loader(name, code.main)
        spec = importlib.util.spec_from_file_location(name, code.main.path, loader=loader)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        sys.modules[name] = module  # dataclasses look their module up there
        try:
            with user_errors(IMPORT_SECONDS):
                loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        _loaded[key] = module
    return _loaded[key]


@contextlib.contextmanager
def user_errors(seconds: float | None = None) -> Iterator[None]:
    """Context in which an error raised inside a user's code becomes a UserCodeError with its file and line.

    Errors outside a user's code, and an interrupt from the keyboard, are not changed.

    Args:
        seconds: Time limit, whose excess is an error; None: no limit.
    """
    limit = contextlib.nullcontext() if seconds is None else time_limit(seconds, frame_location)
    try:
        with refuse_exit(), limit:
            yield
    except UserCodeError:
        raise
    except BaseException as error:  # SystemExit too: a user's file must not end the process
        line = error_line(error)
        if isinstance(error, UserCodeTimeout):
            raise UserCodeError(line or f"code of your own {error}") from None
        if line is None or (isinstance(error, KeyboardInterrupt) and not _is_raised(error)):
            raise
        raise UserCodeError(line) from error


def _is_raised(error: BaseException) -> bool:
    """Whether a `raise` statement raised an error, rather than a signal."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and dis.opname[frame.tb_frame.f_code.co_code[frame.tb_lasti]] == "RAISE_VARARGS"


def is_user_code(function: Callable[..., object]) -> bool:
    """Returns whether a function is defined in a user's file that was loaded."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and code.co_filename in _user_files


def frame_location(frame: FrameType | None) -> str:
    """Returns `FILE.py, line N` of the innermost frame in a user's code, as messages show it.

    Args:
        frame: A frame that it called, or that called it.
    """
    while frame is not None and frame.f_code.co_filename not in _user_files:
        frame = frame.f_back
    return "code of your own" if frame is None else f"{shown_path(frame.f_code.co_filename)}, line {frame.f_lineno}"


def error_line(error: BaseException) -> str | None:
    """Returns `FILE.py, line N: ErrorType: message` of an error raised inside a user's code, None of another error."""
    message = printable(" ".join(_message(error).split()))
    described = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, UserCodeTimeout):
        described = message
    if isinstance(error, SyntaxError) and error.filename in _user_files:
        return f"{shown_path(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _user_files]
    return f"{shown_path(frames[-1].filename)}, line {frames[-1].lineno}: {described}" if frames else None


def _message(error: BaseException) -> str:
    """Returns the message of an error; empty if making it is an error too, as it may be for a class of the user's."""
    try:
        return str(error)
    except BaseException:
        return ""


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs the bytes that were hashed, not what the file or its cached bytecode has meanwhile."""

    def __init__(self, name: str, file: SourceFile) -> None:
        super().__init__(name, str(file.path))
        self.file = file

    def get_code(self, fullname: str) -> CodeType:
        """Compiles the bytes."""
        return compile(self.file.content, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds the modules that users' files import, before any other finder."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the spec of a module that a user's file imports, None of every other module.

        Args:
            name: Name of the module.
            path: Folders of the package that it is in; not used.
            target: As the import system passes it; not used.
        """
        file = _modules.get(name)
        if file is None:
            return None
        folder = [str(file.path.parent if file.path.suffix else file.path)] if file.is_package else None
        return importlib.util.spec_from_file_location(
            name, file.path, loader=_Loader(name, file), submodule_search_locations=folder
        )


def _register_modules(code: UserCode) -> None:
    """Makes the modules that a user's file imports importable, as they were read."""
    for name, file in code.modules.items():
        registered = _modules.get(name)
        if registered is not None and registered.content == file.content:  # also in a copy of the folder
            continue
        imported = getattr(sys.modules.get(name), "__file__", None)
        path = str(registered.path) if registered is not None else imported
        if path is not None and Path(path) != file.path:
            raise UserCodeError(
                f"{shown_path(file.path)}: the name {name} is already imported from {path}: rename one of them"
            )
        _modules[name] = file
        sys.modules.pop(name, None)
    if code.modules and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _import_module(code: UserCode) -> ModuleType:
    if _imported.get(code.source, code.sha256) != code.sha256:
        raise UserCodeError(f"{code.source}: has changed since this process imported it: start a new one")
    with user_errors(IMPORT_SECONDS):
        try:
            module = importlib.import_module(code.source)
        except ImportError as error:
            if error_line(error) is not None:
                raise
            raise UserCodeError(f"{code.source}: cannot be imported: {error}") from error
    _imported[code.source] = code.sha256
    return module


def _defined_names(file: SourceFile) -> list[str]:
    """Returns the public names that a file defines at its top level, in order; not those that it imports."""
    names: list[str] = []
    for node in parse_file(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]
