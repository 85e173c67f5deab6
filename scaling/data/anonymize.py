"""Makes an existing store anonymous: rewrites what it has already, and finds files that still have private names.

Every file is written atomically, and a second pass changes nothing. Files of others (W&B's offline files, the job files
of clusters, a user's code) are not touched, but named.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.data.shards.manifest import MANIFEST
from scaling.data.token_writer import rename_corpus
from scaling.data.tokens import SUFFIX, CorpusError, read_header
from scaling.store.files import StoreError, write_atomic
from scaling.store.origin.anonymous import (
    PrivateNames,
    anonymous_config,
    anonymous_record,
    corpus_label,
    host_alias,
    is_anonymous,
    set_anonymous,
)
from scaling.store.origin.machine import alias, home_folder, user_names
from scaling.store.record import Store

LOGS = ("sweeps/*.log", "runs/*/log.txt")
CONFIGS = ("runs/*/config.json", "sweeps/*.json", "sweeps/*.runs.jsonl")
SEARCHED_BYTES = 1 << 24  # of a file; arrays and tokens, which have no names, are larger
MIN_NAME = 4  # characters of a name that is searched for: shorter ones occur by chance
MACHINE_ID = re.compile("[0-9a-f]{12}")  # in an anonymous lease


@dataclass(frozen=True)
class Changes:
    """What `anonymize` did.

    Attributes:
        rewritten: Files that were rewritten, relative to the store.
        left: Files that still have a private name, with the reason.
    """

    rewritten: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def make_anonymous(store: Store) -> Changes:
    """Makes a store anonymous if it is not; does nothing to one that is.

    Args:
        store: The store, which must be writable.

    Raises:
        StoreError: A process trains a run, or the settings of the store are damaged.
    """
    store.check_writable()
    return Changes() if is_anonymous(store.root) else anonymize(store)


def anonymize(store: Store) -> Changes:
    """Makes a store anonymous from now on, and rewrites its records, configs, leases, logs and token files.

    Args:
        store: The store, which must be writable.

    Returns:
        The rewritten files, and those that still have a private name.

    Raises:
        StoreError: A process trains a run or launches a sweep, or the settings of the store are damaged.
    """
    store.check_writable()
    store.fetch_results()
    store.fetch_tokens()
    check_idle(store)
    store.upload(set_anonymous(store.root))
    changes = Changes()
    names = PrivateNames(store.root, _hosts(store))
    names.renamed |= _rewrite_token_files(store, changes)
    for name in store.record_stamps():
        _rewrite_record(store, name, names, changes)
    for pattern in CONFIGS:
        for path in sorted(store.root.glob(pattern)):
            _rewrite(store, path, _anonymous_configs, changes)
    rewrite_logs(store, names, changes)
    for path in sorted(store.token_files.glob(f"*/{MANIFEST}")):
        _rewrite(store, path, _labelled_manifest, changes)
    for path in [*store.root.glob("checkpoints/*/state/commit_success.txt"),
                 *store.root.glob("runs/*/checkpoints/*/state/commit_success.txt")]:  # fmt: skip
        _rewrite(store, path, lambda text: "", changes)
    _rewrite_leases(store, changes)
    for path in store.root.glob("sweeps/*.lock"):
        _rewrite(store, path, lambda text: "", changes)
    (store.root / "index.parquet").unlink(missing_ok=True)  # a cache of the records
    changes.left.update(files_with_names(store, names))
    return changes


def rewrite_logs(store: Store, names: PrivateNames, changes: Changes) -> None:
    """Removes private names from the logs of trainers that have ended.

    Args:
        store: The store.
        names: What is removed.
        changes: Receives the files that were rewritten.
    """
    for pattern in LOGS:
        for path in sorted(store.root.glob(pattern)):
            _rewrite(store, path, lambda text: str(names.remove_from(text)), changes)


def check_idle(store: Store) -> None:
    """Raises StoreError if a process trains a run of a store or launches a sweep.

    Args:
        store: The store.
    """
    for name in store.leases.files("leases"):
        if store.leases.files(f"leases/{name}") and not store.is_abandoned(name):
            raise StoreError(
                f"{store.root}: {name[:18]} is held by a process: wait until it has ended, or stop it (a process that "
                "died on another machine counts as ended after a minute: try again then)"
            )
    for path in store.root.glob("sweeps/*.lock"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"{store.root}: sweep {path.stem} is being launched: wait for it, or stop it"
                ) from None


def _hosts(store: Store) -> set[str]:
    """Returns the hosts that the store's records and leases name."""
    hosts: set[str] = set()
    for name in store.record_stamps():
        about = (store.raw_intact(name) or {}).get("about")
        if isinstance(about, dict):
            before = about.get("before", [])
            hosts |= {str(part["host"]) for part in [about, *before] if isinstance(part, dict) and "host" in part}
    for _, content in _leases(store):
        if isinstance(content.get("owner"), dict):
            hosts.add(str(content["owner"].get("host", "")))
    return {host for host in hosts if host and host_alias(host) != host}


def _rewrite(store: Store, path: Path, change: Callable[[str], str], changes: Changes) -> None:
    """Rewrites a file of text if it changes."""
    try:
        text = path.read_text("utf-8", "surrogateescape")
        new = change(text)
    except (OSError, ValueError) as error:
        changes.left[str(path.relative_to(store.root))] = f"cannot be rewritten: {' '.join(str(error).split())}"
        return
    if new != text:
        write_atomic(path, new.encode("utf-8", "surrogateescape"))
        store.upload(path)
        changes.rewritten.append(str(path.relative_to(store.root)))


def _anonymous_configs(text: str) -> str:
    """Rewrites the configs of a run, of a sweep (a JSON object), or of a list of runs (JSON lines)."""
    with contextlib.suppress(ValueError):
        data = json.loads(text)
        new = _labelled(data)
        return text if new == data else json.dumps(new, indent=1) + "\n"
    lines = [json.loads(line) for line in text.splitlines()]
    new_lines = list(map(_labelled, lines))
    return text if new_lines == lines else "".join(json.dumps(line) + "\n" for line in new_lines)


def _labelled_manifest(text: str) -> str:
    """Gives the manifest of a sharded corpus its label; the content hash does not cover it."""
    data = json.loads(text)
    if not isinstance(data, dict) or not isinstance(corpus := data.get("corpus"), str):
        raise ValueError("not a manifest")
    return text if corpus_label(corpus) == corpus else json.dumps(data | {"corpus": corpus_label(corpus)})


def _labelled(data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError("not a config")
    if isinstance(runs := data.get("runs"), list):
        return data | {"runs": [run | {"config": anonymous_config(run["config"])} for run in runs if "config" in run]}
    return anonymous_config(data)


def _rewrite_record(store: Store, name: str, names: PrivateNames, changes: Changes) -> None:
    raw = store.raw_intact(name)
    record = store.read_intact(name)
    path = f"runs/{name}/record.json"
    if raw is None or record is None:
        changes.left[path] = f"cannot be rewritten: {store.damaged.get(path, 'it is damaged')}"
    elif anonymous_record(raw, names) != raw:
        record.about.update(names.remove_from(record.about))
        store.write(record)
        changes.rewritten.append(path)


def _rewrite_token_files(store: Store, changes: Changes) -> dict[str, str]:
    """Gives the token files their labels; returns the new names of files by the old ones."""
    renamed: dict[str, str] = {}
    for path in sorted(store.token_files.glob(f"*{SUFFIX}")):
        try:
            corpus = read_header(path)["corpus"]
        except CorpusError as error:
            changes.left[f"tokens/{path.name}"] = f"cannot be rewritten: {error}"
            continue
        if corpus_label(corpus) != corpus:
            new = rename_corpus(path, corpus_label(corpus))
            store.upload(new)
            store.discard(path)
            renamed[path.name] = new.name
            changes.rewritten.append(f"tokens/{new.name}")
    return renamed


def _leases(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the content of the files of all leases that are objects."""
    for name in store.leases.files("leases"):
        for file in store.leases.files(f"leases/{name}"):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                content = json.loads(store.leases.read(f"leases/{name}/{file}"))
                if isinstance(content, dict):
                    yield f"leases/{name}/{file}", content


def _rewrite_leases(store: Store, changes: Changes) -> None:
    for name, content in _leases(store):
        owner = content.get("owner")
        if isinstance(owner, dict) and isinstance(owner.get("host"), str) and isinstance(owner.get("machine"), str):
            machine = owner["machine"]
            new = owner | {"host": host_alias(owner["host"])}
            new |= {"machine": machine if MACHINE_ID.fullmatch(machine) else alias(machine)}
            if new != owner:
                store.leases.write(name, json.dumps(content | {"owner": new}).encode())
                changes.rewritten.append(name)


def files_with_names(store: Store, names: PrivateNames) -> dict[str, str]:
    """Returns the files of a store that have a private name, or are named by one, with a reason each.

    Arrays and tokens are not searched, nor names of fewer than MIN_NAME characters.

    Args:
        store: The store.
        names: Hosts, users and folders.
    """
    folders = {home_folder(), os.getcwd(), str(store.root.absolute())}
    kinds = {"a host": [*names.hosts, socket.gethostname()], "a user": user_names(), "a folder": folders}
    patterns = {
        kind: re.compile(rb"(?<![\w-])(?:%s)(?![\w-])" % b"|".join(re.escape(name.encode()) for name in sorted(long)))
        for kind, private in kinds.items()
        if (long := {name for name in private if len(name) >= MIN_NAME})
    }
    reasons: dict[str, str] = {}
    for path in sorted(store.root.rglob("*")):
        name = str(path.relative_to(store.root))
        if path.suffix == SUFFIX or not path.is_file() or path.stat().st_size > SEARCHED_BYTES:
            continue
        with contextlib.suppress(OSError):
            data = name.encode("utf-8", "surrogateescape") + b"\n" + path.read_bytes()
            kind = next((kind for kind, pattern in patterns.items() if pattern.search(data)), None)
            if kind is not None:
                reasons[name] = f"has the name of {kind}: remove the file before you publish the store"
    return reasons
