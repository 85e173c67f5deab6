"""Pages of the commands, one for each package, from the argument parsers."""

from __future__ import annotations

import argparse
import functools
import importlib

from docs.generate.reference.markdown import anchor, code, escape, flag_code, split_default, table

PACKAGES = {
    "scaling": "Commands that train, evaluate and inspect single runs.",
    "sweeps": "Commands that plan, launch and follow sweeps.",
    "analysis": "Commands that read a store or a table, fit laws, draw figures and write reports.",
}
USAGE_COLUMNS = 92  # width of the usage, so that it fits into the page


def parser(package: str) -> argparse.ArgumentParser:
    """Returns the parser of `python -m PACKAGE`."""
    made = importlib.import_module(f"{package}.__main__").parser()
    assert isinstance(made, argparse.ArgumentParser)
    return made


def subcommands(package: str) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Returns the description and the parser of each command of a package, by its name, such as `sae train`."""
    return _commands_of(parser(package), "")


def _commands_of(made: argparse.ArgumentParser, prefix: str) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Returns the commands of a parser that needs one; those of a group of commands in place of the group."""
    commands: dict[str, tuple[str, argparse.ArgumentParser]] = {}
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction) and action.required:
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                title = f"{prefix}{name}"
                commands |= _commands_of(command, f"{title} ") or {title: (texts.get(name, ""), command)}
    return commands


def pages() -> dict[str, str | bytes]:
    """Returns the page of each package, by path in the site."""
    return {f"reference/commands/{package}.md": page(package) for package in PACKAGES}


def page(package: str) -> str:
    """Returns the page with the commands of a package."""
    commands = subcommands(package)
    lines = [
        f"# Commands of `{package}`",
        f"{PACKAGES[package]} This page is generated from the parser of `python -m {package}`; "
        f"`python -m {package} COMMAND --help` prints the same. [Errors and exit statuses](../errors.md) are common "
        "to all commands.",
        table(
            ("command", "does"),
            [(f"[`{name}`](#{anchor(name)})", escape(text)) for name, (text, _) in commands.items()],
        ),
    ]
    for name, (text, made) in commands.items():
        lines += section(name, text, made)
    return "\n\n".join(lines) + "\n"


def section(name: str, text: str, made: argparse.ArgumentParser) -> list[str]:
    """Returns the parts of the section of one command.

    Args:
        name: Name of the command.
        text: Its line in the list of commands.
        made: Its parser.
    """
    parts = [f"## {name} {{ #{anchor(name)} }}", _sentence(made.description or text), f"```text\n{usage(made)}\n```"]
    for group in made._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS and a.dest != "help"]
        if not actions:
            continue
        if group.title not in ("positional arguments", "options"):
            parts.append(f"**{escape(str(group.title).capitalize())}**" + _described(group.description))
        title = "argument" if group.title == "positional arguments" else "option"
        parts.append(table((title, "meaning", "default"), [row(action) for action in actions]))
    if made.epilog:
        parts.append(made.epilog.strip())
    return parts


def usage(made: argparse.ArgumentParser) -> str:
    """Returns the usage of a command at a width that does not depend on the terminal."""
    made.formatter_class = functools.partial(argparse.HelpFormatter, width=USAGE_COLUMNS)
    first, *rest = made.format_usage().rstrip().split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in rest), default=0)
    return "\n".join([first.removeprefix("usage: "), *("    " + line[indent:] for line in rest)])


def row(action: argparse.Action) -> tuple[str, str, str]:
    """Returns the option or argument, its meaning with its choices, and its default."""
    value = _value(action)
    names = [flag_code(f"{name} {value}".strip()) for name in action.option_strings] or [code(value)]
    text, default = split_default(_expand(action))
    if action.required and action.option_strings:
        default = "required"
    elif not default and action.option_strings and action.default not in (None, False, [], "", argparse.SUPPRESS):
        default = str(action.default)
        text = text.removesuffix(f" ({default})")
    choices = [str(choice) for choice in action.choices or ()]
    meaning = escape(text)
    if choices and action.metavar is not None:
        meaning += ". One of " + ", ".join(code(choice) for choice in choices)
    if isinstance(action, argparse._AppendAction) and "repeated" not in meaning:
        meaning += "; may be repeated"
    return ", ".join(names), meaning, escape(default)


def _value(action: argparse.Action) -> str:
    """What stands for the value of an option, as in the usage."""
    if action.nargs == 0:
        return ""
    if action.metavar is not None:
        name = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    elif action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        name = action.dest.upper() if action.option_strings else action.dest
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(str(action.nargs), name)


def _expand(action: argparse.Action) -> str:
    """The help text with its %(default)s filled in."""
    text = action.help or ""
    return text % {**vars(action), "prog": ""} if "%(" in text else text.replace("%%", "%")


def _sentence(text: str) -> str:
    text = escape(text)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def _described(text: str | None) -> str:
    return f": {escape(text)}" if text else ""
