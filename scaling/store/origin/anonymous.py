"""An anonymous store: no names of machines and users and no absolute paths in what is written to it.

STORE/settings.json      {"anonymous": true}; a store without the file is not anonymous

A host name becomes an alias (scaling/store/origin/machine.py), and a path its last component. Leases work as elsewhere:
the aliases are the same for all processes of a user on a machine.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.files import StoreError, read_json, write_json
from scaling.store.origin.machine import alias, home_folder, machine_alias, user_names
from scaling.store.origin.paths import public_corpus, without_folders

SETTINGS_FILE = "settings.json"
ALIAS = re.compile(r"machine-[0-9a-f]{12}")


def is_anonymous(root: Path) -> bool:
    """Returns whether the store in a folder is anonymous.

    Raises:
        StoreError: The settings are damaged.
    """
    return bool(_settings(root).get("anonymous", False))


def set_anonymous(root: Path) -> Path:
    """Makes the store in a folder anonymous from now on, and returns the file with its settings.

    Args:
        root: Folder of the store.
    """
    write_json(root / SETTINGS_FILE, _settings(root) | {"anonymous": True})
    return root / SETTINGS_FILE


def _settings(root: Path) -> dict[str, Any]:
    path = root / SETTINGS_FILE
    try:
        settings = read_json(path)
    except FileNotFoundError:
        return {}
    if not isinstance(settings, dict) or type(settings.get("anonymous", False)) is not bool:
        raise StoreError(f'{path}: damaged: must be {{"anonymous": true}} or {{"anonymous": false}}: correct it')
    return settings


def host_name(root: Path) -> str:
    """Returns the name of this machine in the files of a store: its host name, or in an anonymous store its alias."""
    return machine_alias() if is_anonymous(root) else socket.gethostname()


def is_this_host(name: object) -> bool:
    """Returns whether a host in a file of a store, anonymous or not, is this machine."""
    return name == socket.gethostname() or name == machine_alias()


def corpus_label(corpus: str) -> str:
    """Returns the name of a corpus in an anonymous store: with paths, file names and a keyed hash of the whole name.

    Corpora of one file name in two folders have two names, such as `text:notes.txt@4c1e9fb2a0d7`.

    Args:
        corpus: Specification of the corpus, or its name in an anonymous store, which is returned as it is.
    """
    kind, _, path = corpus.partition(":")
    short = f"text:{Path(path).name}" if kind == "text" else public_corpus(corpus)
    return corpus if short == corpus else f"{short}@{alias(corpus)}"


class PrivateNames:
    """What an anonymous store leaves out: hosts, users, and the folders above its files.

    Args:
        root: Folder of the store.
        hosts: Hosts besides this one.

    Attributes:
        renamed: New names of token files by their old ones, which had folders in them.
    """

    def __init__(self, root: Path, hosts: Iterable[str] = ()) -> None:
        host = socket.gethostname()
        self.hosts = sorted({host, host.partition(".")[0], *hosts}, key=len, reverse=True)
        folders = {home_folder(), os.getcwd(), tempfile.gettempdir(), str(root.absolute().parent)}
        self.folders = sorted((folder for folder in folders if len(folder) > 1), key=len, reverse=True)
        self.users = user_names()
        self.renamed: dict[str, str] = {}

    def remove_from(self, value: Any) -> Any:
        """Returns JSON in which no text has a private name; hosts become aliases.

        Args:
            value: A text, or facts such as the `about` of a record.
        """
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self._fact(key, inner) for key, inner in value.items()}
        return [self.remove_from(inner) for inner in value] if isinstance(value, list | tuple) else value

    def _fact(self, key: str, value: Any) -> Any:
        if key == "corpus" and isinstance(value, str):
            return corpus_label(value)
        if key == "host" and isinstance(value, str):
            return host_alias(value)
        if key == "tokens_file" and isinstance(value, str):
            return self.renamed.get(value, value)
        return self.remove_from(value)

    def _text(self, text: str) -> str:
        for folder in self.folders:  # as a whole, because their names may have spaces
            text = re.sub(rf"{re.escape(folder)}(/|(?![\w.-]))", "", text)
        text = without_folders(text)
        for host in self.hosts:
            text = _replace_word(text, host, host_alias(host))
        for user in self.users:
            text = _replace_word(text, user, "user")
        return text


def host_alias(host: str) -> str:
    """Returns the alias of a host; an alias is returned as it is."""
    return host if ALIAS.fullmatch(host) else f"machine-{alias(host)}"


def _replace_word(text: str, name: str, replacement: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", replacement, text) if name else text


def public_record(root: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON of a record as a store has it: without private names if the store is anonymous.

    Args:
        root: Folder of the store.
        data: The record.
    """
    return anonymous_record(data, PrivateNames(root)) if is_anonymous(root) else data


def anonymous_record(data: dict[str, Any], names: PrivateNames) -> dict[str, Any]:
    """Returns the JSON of a record without private names.

    Args:
        data: The record; its numbers, its sweep and its scores stay as they are.
        names: What is left out.
    """
    out = dict(data)
    if isinstance(out.get("about"), dict):
        out["about"] = names.remove_from(out["about"])
    if isinstance(out.get("config"), dict):
        out["config"] = anonymous_config(out["config"])
    return out


def public_configs(root: Path, configs: list[RunConfig]) -> list[RunConfig]:
    """Returns configs of runs as a store has them: with the labels of their corpora if the store is anonymous.

    Args:
        root: Folder of the store.
        configs: The runs; their run ids stay the same.
    """
    if not is_anonymous(root):
        return configs
    datas = [dataclasses.replace(config.data, corpus=corpus_label(config.data.corpus)) for config in configs]
    return [dataclasses.replace(config, data=data) for config, data in zip(configs, datas, strict=True)]


def anonymous_config(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON of a run's config with the label of its corpus; its run id stays the same.

    Args:
        config: JSON of a RunConfig.
    """
    data = config.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("corpus"), str):
        return config
    return config | {"data": data | {"corpus": corpus_label(data["corpus"])}}
