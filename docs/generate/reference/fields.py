"""Tables of the fields of dataclasses: from the comments beside them, their docstrings, or their command-line help."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import io
import json
import re
import sys
import tokenize
from typing import Any

from docs.generate.reference.markdown import code, escape, flag_code, split_default, table

HEAD = ("field", "type", "default", "meaning")


def comment_table(cls: type, links: dict[str, str] | None = None) -> str:
    """Returns the table of a config whose fields have comments.

    Args:
        cls: The dataclass.
        links: Address of the section of each type that has one, by name of the type.
    """
    comments = {**section_texts(cls, "Attributes"), **field_comments(cls)}
    allowed, links = choices(cls), links or {}
    rows = []
    for field in dataclasses.fields(cls):
        kind = type_name(field)
        shown = f"[{code(kind)}]({links[kind]})" if kind in links else code(kind)
        meaning = escape(comments.get(field.name, ""))
        if field.name in allowed:
            listed = ", ".join(code(each) for each in allowed[field.name] if each)
            meaning += (". " if meaning else "") + f"One of {listed}"
        if not field.metadata.get("identity", True):
            meaning += ". A label: not part of the identity"
        rows.append((code(field.name), shown, default_text(field, links), meaning))
    return table(HEAD, rows)


def docstring_table(cls: type) -> str:
    """Returns the table of a dataclass whose docstring describes its attributes."""
    texts = section_texts(cls, "Attributes")
    rows = [(code(f.name), code(type_name(f)), escape(texts.get(f.name, ""))) for f in dataclasses.fields(cls)]
    return table(("field", "type", "meaning"), rows)


def option_table(cls: type) -> str:
    """Returns the table of options that are also flags of a command."""
    rows = []
    for field in dataclasses.fields(cls):
        flag = field.metadata.get("flag") or "--" + field.name.replace("_", "-")
        help_text = field.metadata.get("help", section_texts(cls, "Attributes").get(field.name, ""))
        value = default_of(field)
        meaning, default = split_default(help_text.replace("%(default)s", str(value)))
        shown = "required" if value is dataclasses.MISSING else code(repr(value).replace("'", '"'))
        if default and not value and default != str(value):
            shown += f": {escape(default)}"
        rows.append(
            (code(field.name), flag_code(flag) if "help" in field.metadata else "", code(type_name(field)), shown,
             escape(meaning.removesuffix(f" ({value})")))
        )  # fmt: skip
    return table(("field", "flag", "type", "default", "meaning"), rows)


def type_name(field: dataclasses.Field[Any]) -> str:
    """Returns the type of a field as it is written."""
    return field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Returns the default of a field, MISSING without one."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def default_text(field: dataclasses.Field[Any], links: dict[str, str]) -> str:
    """Returns the default of a field in JSON, "required" without one, and a link for a nested dataclass."""
    value = default_of(field)
    if value is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(value):
        name = type(value).__name__
        return f"[its defaults]({links[name]})" if name in links else code(name + "()")
    if isinstance(value, str) and sys.executable in value:
        return "the Python that runs"
    try:
        return code(json.dumps(value, ensure_ascii=False))
    except TypeError:
        return code(repr(value))


def section_texts(thing: Any, section: str) -> dict[str, str]:
    """Returns the descriptions in a section of a docstring, by name.

    Args:
        thing: A class or function.
        section: "Args" or "Attributes".
    """
    lines = (inspect.getdoc(thing) or "").partition(f"{section}:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", lines, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def field_comments(cls: type) -> dict[str, str]:
    """Returns the comment beside each field of a class."""
    source = inspect.getsource(cls)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            texts = [
                comments[line] for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line in comments
            ]
            if texts:
                found[node.target.id] = " ".join(texts)
    return found


def choices(cls: type) -> dict[str, tuple[str, ...]]:
    """Returns the allowed values of the fields that a class checks with `require_choice` or `require_block`."""
    module = sys.modules[cls.__module__]
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in ("require_choice", "require_block") or not isinstance(node.args[0], ast.Constant):
            continue
        owner, _, name = str(node.args[0].value).partition(".")
        if owner == cls.__name__:
            own = ("FILE.py:NAME",) if node.func.id == "require_block" else ()
            found[name] = (*eval_name(module.__name__, node.args[2]), *own)
    return found


def eval_name(module: str, node: ast.expr) -> Any:
    """Returns the value of a name in a module, or of `tuple(name)`."""
    if isinstance(node, ast.Call):
        node = node.args[0]
    assert isinstance(node, ast.Name)
    return getattr(importlib.import_module(module), node.id)
