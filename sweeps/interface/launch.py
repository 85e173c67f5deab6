"""`sweeps.launch`: trains the remaining runs of a sweep, here or in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scaling.config.options import format_options
from scaling.config.run import RunConfig
from scaling.config.validation import to_dict
from scaling.data.anonymize import make_anonymous
from scaling.store.files import write_atomic
from scaling.store.origin.anonymous import public_configs
from scaling.store.record import Store
from sweeps.errors import SweepError
from sweeps.interface.handle import Sweep
from sweeps.interface.plan import fetch_store
from sweeps.interface.request import SettingValues, SweepRequest, SweepSource
from sweeps.launching import launch as launching
from sweeps.launching.engine import check_options
from sweeps.launching.evaluate import evaluate_arguments
from sweeps.launching.lock import StopSignals, launcher_lock
from sweeps.launching.options import LaunchOptions
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import plan_sweep


def launch(
    sweep: SweepSource,
    *,
    store: str | Path,
    name: str | None = None,
    wait: bool = True,
    corpus: str | None = None,
    tokenizer: str = "bytes",
    seed: int = 0,
    settings: SettingValues = (),
    code: Sequence[str] = (),
    options: LaunchOptions = LaunchOptions(),
) -> Sweep:
    """Trains the remaining runs of a sweep; runs that the store has already are not trained again.

    Args:
        sweep: A known sweep such as "quickstart"; "FILE.py:NAME"; files of run configs such as "runs/*.json"; a
            function or `Definition`; or a list of RunConfig.
        store: Folder or address of the store.
        name: Name of the sweep in the store; None: that of the sweep, file or function. A list of RunConfig needs one.
        wait: Whether to return once the runs have ended, with their progress on standard error. Otherwise they are
            trained by another process, which goes on when this one ends; the returned Sweep watches and stops it.
        corpus: Corpus, as given to `scaling prepare`; None: that of the sweep.
        tokenizer: Tokenizer, as given to `scaling prepare`.
        seed: Seed of every run.
        settings: Settings of the sweep and fields of the configs, as for `--set`: {"rules": "small"}.
        code: Files of the user whose blocks the runs use.
        options: Engine, processes, caps, placement and tasks.

    Returns:
        The sweep. With `wait`, its `exit_status` is 0 if all runs are done or diverged, 1 if some failed, 3 at a cap.

    Raises:
        SweepError: The sweep, a setting, a run config or an option is not valid, or the sweep is being launched.
        ConfigError: The user's code raises an error; the message names its file and line.
        KeyboardInterrupt: The launch was interrupted; the runs have been saved, and the next launch continues them.
    """
    request = SweepRequest(
        source=sweep, name=name, corpus=corpus, tokenizer=tokenizer, seed=seed, settings=settings, code=code
    )
    request.check()
    return launch_request(request, fetch_store(store), launch_options(request, options), wait=wait)


def launch_request(request: SweepRequest, store: Store, options: LaunchOptions, *, wait: bool) -> Sweep:
    """Trains the remaining runs of a sweep.

    Args:
        request: The sweep.
        store: The store.
        options: The launch options, with the tasks and the code of the sweep.
        wait: As for `launch`.
    """
    check_options(store, options)
    if options.anonymous:
        make_anonymous(store)
    corpus = prepare_corpus(request, store)
    name, configs = request.stored_name, request.configs(corpus)
    if not wait:
        return start_launch(store, name, configs, corpus, options)
    signals = StopSignals()
    status = launching.launch(store, name, configs, corpus, options, signals)
    if signals.count:
        raise KeyboardInterrupt
    return Sweep(name, store, exit_status=status)


def launch_options(request: SweepRequest, options: LaunchOptions) -> LaunchOptions:
    """Returns the options with the tasks of the sweep's definition, unless they have tasks, and with its code.

    Args:
        request: The sweep.
        options: The options.
    """
    definition = request.definition
    return dataclasses.replace(options, tasks=options.tasks or definition.tasks, code=(*options.code, *definition.code))


def prepare_corpus(request: SweepRequest, store: Store) -> Corpus:
    """Returns the corpus of a sweep in a store, where it is prepared if necessary.

    Args:
        request: The sweep.
        store: The store, which must be writable.
    """
    store.check_writable()
    corpus = request.find_corpus(store)
    store.upload_tokens()
    return corpus


def start_launch(
    store: Store, name: str, configs: Sequence[RunConfig], corpus: Corpus, options: LaunchOptions
) -> Sweep:
    """Launches runs in a process of its own, `python -m sweeps launch`.

    Args:
        store: The store.
        name: Name of the sweep in the store.
        configs: The runs.
        corpus: Their corpus.
        options: The launch options.
    """
    with launcher_lock(store, name):  # not while another process launches it
        launching.write_sweep(store, name, plan_sweep(list(configs), corpus, store), options.separate)
    path = store.root / "sweeps" / f"{name}.runs.jsonl"
    public = public_configs(store.root, list(configs))
    lines = "".join(json.dumps(to_dict(config), allow_nan=False) + "\n" for config in public)
    write_atomic(path, lines.encode())
    command = [sys.executable, "-m", "sweeps", "launch", str(path), "--as", name, "--store", store.address]
    log = store.root / "sweeps" / f"{name}.launch.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, *launch_arguments(options)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # an interrupt of the notebook or terminal does not reach it
        )
    sweep = Sweep(name, store, process=process)
    sweep.wait_for_start()
    return sweep


def launch_arguments(options: LaunchOptions) -> list[str]:
    """Returns the flags of `launch` for options.

    Raises:
        SweepError: They have a command, which has no flag.
    """
    if options.command:
        raise SweepError("LaunchOptions.command has no flag of `launch`: use wait=True")
    words = format_options(options)
    words += [word for name, text in options.engine_options.items() for word in ("--option", f"{name}={text}")]
    words += ["--pack", str(options.pack)] if options.pack is not None else []
    words += [word for name, value in options.placement.items() for word in ("--place", f"{name}={json.dumps(value)}")]
    words += [word for path in options.code for word in ("--code", path)]
    caps = {"--cap-flops": options.caps.flops, "--cap-hours": options.caps.hours, "--cap-usd": options.caps.usd}
    words += [word for flag, value in caps.items() if value is not None for word in (flag, repr(value))]
    if options.caps.priced is not None:
        words += ["--slice", options.caps.priced.name, "--prices", options.caps.priced.table]
        words += ["--spot"] if options.caps.priced.spot else []
    return words + (list(evaluate_arguments(options.tasks)) if options.tasks else [])
