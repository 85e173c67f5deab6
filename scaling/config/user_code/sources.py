"""References to a user's code, the source files that belong to it, and their content hash. Runs none of them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling.config.validation import ConfigError

HASH_DIGITS = 16  # of the SHA-256 that a reference has
REFERENCE = re.compile(
    r"(?P<source>[^@]*[^@/\\]\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)"
    rf"(?:@(?P<digest>[0-9a-f]{{{HASH_DIGITS}}}))?"
)
OWN_PACKAGES = ("scaling", "sweeps", "analysis")  # never part of a user's code, even from a checkout of this project


class UserCodeError(ConfigError):
    """A user's file cannot be loaded, or has raised an error: one line with the file, and the line where known."""


@dataclass(frozen=True)
class CodeReference:
    """A name in a user's file or in an installed module.

    Attributes:
        source: Path of a file, FILE.py, or the dotted name of a module.
        name: Name of the object in it.
        digest: First digits of the content hash, None where the reference does not have one.
    """

    source: str
    name: str
    digest: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether the source is a file rather than a module."""
        return self.source.endswith(".py")

    @property
    def label(self) -> str:
        """The source without folders, and the name, as identities and messages have them."""
        return f"{Path(self.source).name if self.is_file else self.source}:{self.name}"

    def __str__(self) -> str:
        return f"{self.source}:{self.name}" + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True)
class SourceFile:
    """A source file, as it was when it was read.

    Attributes:
        path: Absolute path; a folder for a package without an `__init__.py`.
        content: Its bytes.
        is_package: Whether it is the `__init__.py` of a package.
    """

    path: Path
    content: bytes
    is_package: bool = False


@dataclass(frozen=True)
class UserCode:
    """A user's file or module, and the modules of the user that it imports.

    Attributes:
        source: As in `CodeReference`.
        main: The file itself.
        modules: The other modules by the name that imports them.
    """

    source: str
    main: SourceFile
    modules: dict[str, SourceFile]

    @property
    def sha256(self) -> str:
        """SHA-256 of the contents of all files with their import names; it does not depend on where they are."""
        digest = hashlib.sha256()
        for name, file in [("", self.main), *sorted(self.modules.items())]:
            for part in (name.encode(), file.content):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    @property
    def digest(self) -> str:
        """The first HASH_DIGITS digits of `sha256`, as references have them."""
        return self.sha256[:HASH_DIGITS]


def parse_reference(text: str) -> CodeReference | None:
    """Parses `FILE.py:NAME` or `package.module:NAME`, with `@` and a content hash or without; None for other texts."""
    match = REFERENCE.fullmatch(text)
    return CodeReference(**match.groupdict()) if match else None


def read_code(source: str) -> UserCode:
    """Reads a file or module, and the modules of the user that it imports, without running any of them.

    These are the modules that import statements name: of a file, those in its folder; of a module, those of its
    top-level package. Imports by `importlib`, and data that the code reads, are not found.

    Args:
        source: Path FILE.py, or the dotted name of a module.

    Raises:
        UserCodeError: The file or module does not exist, or one of the files is not valid Python.
    """
    if source.endswith(".py"):
        path = Path(source).expanduser().absolute()
        if not path.is_file():
            raise UserCodeError(f"{source}: {'is not a file' if path.exists() else 'no such file'}")
        main = _read(path)
        return UserCode(source, main, _imported_modules("", main, path.parent, ()))
    top = source.partition(".")[0]
    spec = importlib.util.find_spec(top) if top not in sys.builtin_module_names else None
    if spec is None or not (spec.submodule_search_locations or spec.has_location):
        raise UserCodeError(f"{source}: no module named {top}: install it, or give its file, FILE.py")
    roots = list(spec.submodule_search_locations or ())
    root = Path(roots[0] if roots else str(spec.origin)).parent
    files = _find_module(source, root)
    if source not in files:
        raise UserCodeError(f"{source}: no module named {source} in {root / top}")
    main = files.pop(source)
    modules = _imported_modules(source, main, root, (top,))
    for name, parent in files.items():
        modules |= {name: parent} | _imported_modules(name, parent, root, (top,))
    modules.pop(source, None)
    return UserCode(source, main, modules)


def parse_file(file: SourceFile) -> ast.Module:
    """Parses a source file; a UserCodeError names the line of a syntax error."""
    try:
        return ast.parse(file.content, str(file.path))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise UserCodeError(f"{shown_path(file.path)}{line}: {type(error).__name__}: {error.msg}") from None
    except ValueError as error:  # a zero byte
        raise UserCodeError(f"{shown_path(file.path)}: {type(error).__name__}: {error}") from None


def shown_path(path: str | Path) -> str:
    """Returns a path as messages show it: relative to the working folder where it is inside it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _read(path: Path, is_package: bool = False) -> SourceFile:
    try:
        return SourceFile(path, path.read_bytes(), is_package)
    except OSError as error:
        raise UserCodeError(f"{shown_path(path)}: cannot be read: {error.strerror or error}") from None


def _imported_modules(name: str, main: SourceFile, root: Path, tops: tuple[str, ...]) -> dict[str, SourceFile]:
    """Returns the modules below `root` that a file imports, directly or through others.

    Args:
        name: Name of the file's module; empty for a file of its own.
        main: The file.
        root: Folder of the modules.
        tops: Top-level names that count; empty for all in the folder.
    """
    modules: dict[str, SourceFile] = {}
    pending = [(name, main)]
    while pending:
        importer, file = pending.pop()
        for imported in _imported_names(file, importer):
            top = imported.partition(".")[0]
            if top in OWN_PACKAGES or top in sys.stdlib_module_names or (tops and top not in tops):
                continue
            new = {name: file for name, file in _find_module(imported, root).items() if name not in modules}
            modules |= new
            pending += new.items()
    modules.pop(name, None)
    return modules


def _imported_names(file: SourceFile, module: str) -> Iterator[str]:
    """Yields the names that import statements of a file may import as modules."""
    package = module if file.is_package else module.rpartition(".")[0]
    for node in ast.walk(parse_file(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            yield from filter(None, [base])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _find_module(name: str, root: Path) -> dict[str, SourceFile]:
    """Returns the files that an import of a dotted name runs: the packages on the way, and the module if there is one.

    A folder without `__init__.py` counts as a package only where a module in it is imported.
    """
    files: dict[str, SourceFile] = {}
    folders: dict[str, SourceFile] = {}
    folder, prefix = root, ""
    for part in name.split("."):
        prefix = f"{prefix}.{part}" if prefix else part
        package = folder / part / "__init__.py"
        if package.is_file():
            files |= folders | {prefix: _read(package, is_package=True)}
        elif (folder / f"{part}.py").is_file():
            return files | folders | {prefix: _read(folder / f"{part}.py")}
        elif (folder / part).is_dir():
            folders[prefix] = SourceFile(folder / part, b"", is_package=True)
        else:
            break
        folder = folder / part
    return files
