"""The engine of a launch: checks and parses its options, and chooses the command that trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.user_code.blocks import user_blocks
from scaling.store.record import Store
from sweeps.engines import ENGINES, get_engine
from sweeps.engines.local import LocalOptions
from sweeps.engines.submission import TRAIN, parse_options
from sweeps.errors import SweepError
from sweeps.launching.evaluate import evaluate_arguments
from sweeps.launching.options import LOCAL, LaunchOptions
from sweeps.planning.workers import default_pack_size, default_workers


def check_options(store: Store, options: LaunchOptions) -> Any:
    """Checks the options of a launch and returns the engine's options.

    Args:
        store: The store of the sweep.
        options: The launch options.

    Raises:
        SweepError: An option, or a combination of options, is not allowed.
    """
    name, engine, local = options.engine, get_engine(options.engine), options.engine == LOCAL
    if options.engine_options and local:
        raise SweepError(f"engine {name} takes no --option")
    if options.separate and not local:
        raise SweepError(f"--separate: not supported by engine {name}: remove it, or use --engine local")
    local_only = "must be 1 or more, with the local engine and without --separate"
    if options.workers is not None and (options.workers < 1 or not local or options.separate):
        raise SweepError(f"--workers {options.workers}: {local_only}")
    if name in ENGINES and not local and "://" in store.address:
        raise SweepError(
            f"engine {name}: its machines cannot open store {store.address}: mount the bucket and give its folder"
        )
    if options.pack and (options.pack < 1 or not local or options.separate):
        raise SweepError(f"--pack {options.pack}: {local_only}")
    caps, topology = options.caps, options.engine_options.get("topology")
    if caps.usd is not None and caps.priced and topology not in (None, caps.priced.name):
        raise SweepError(f"--slice {caps.priced.name}: must be the slice of the runs, --option topology={topology}")
    return _local_options(options) if local else parse_options(engine.options, options.engine_options)


def _local_options(options: LaunchOptions) -> LocalOptions:
    if options.separate:
        return LocalOptions(separate=True)
    workers = options.workers or (1 if options.command else default_workers())
    pack = options.pack if options.pack is not None else (0 if options.command else default_pack_size()[0])
    return LocalOptions(workers=workers, pack=pack)


def used_code(configs: Iterable[RunConfig], options: LaunchOptions) -> Sequence[str]:
    """Returns the files of the user that the trainers need: none if the runs use no block of a user.

    Args:
        configs: The runs.
        options: The launch options.
    """
    return options.code if any(user_blocks(config.model) for config in configs) else ()


def train_command(options: LaunchOptions) -> Sequence[str]:
    """Returns the command that trains, empty for the engine's default; the local engine's workers also evaluate."""
    if options.tasks and not options.command and options.engine == LOCAL:
        return (*TRAIN, *evaluate_arguments(options.tasks))
    return options.command
