"""sweeps.commands.launch."""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
from typing import Any

from scaling.config import exit_status
from scaling.config.options import read_options
from scaling.config.placement import Placement
from scaling.config.run import override
from scaling.config.validation import to_dict
from sweeps.commands.options import fetched, made, slice_of
from sweeps.definitions import definition
from sweeps.errors import SweepError
from sweeps.planning.corpus import find_or_prepare


def run_launch(args: argparse.Namespace) -> int:
    """`launch`: the bar, then a summary."""
    from sweeps.cost.caps import Caps
    from sweeps.engines import get_engine
    from sweeps.launching.launch import dry_run, launch
    from sweeps.launching.options import LaunchOptions

    get_engine(args.engine)
    known = definition(args.name)
    options = dataclasses.replace(
        read_options(LaunchOptions, args),
        engine_options=engine_options(args.option),
        pack=args.pack,
        caps=Caps(flops=args.cap_flops, hours=args.cap_hours, usd=args.cap_usd, on=slice_of(args)),
        placement=placement_of(args),
        tasks=known.tasks,
    )
    check_name("--as", args.as_name)
    store = fetched(args.store)
    store.check_writable()
    corpus = find_or_prepare(store.root, args.corpus or known.corpus, args.tokenizer)
    store.upload_tokens()
    configs = made(args, corpus)
    name = args.as_name or args.name
    if args.dry_run:
        print(dry_run(store, name, configs, corpus, options))
        return exit_status.DONE
    status = launch(store, name, configs, corpus, options)
    if status == exit_status.DONE and known.found is not None:  # sweeps does not import analysis
        subprocess.run([sys.executable, "-m", "analysis", known.found, str(args.store)], check=False)
    return status


def engine_options(texts: list[str]) -> dict[str, str]:
    """Value by name of `--option NAME=VALUE`; SweepError where one has another form."""
    wrong = [text for text in texts if not text.partition("=")[1]]
    if wrong:
        raise SweepError(f"--option {wrong[0]}: must be NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def check_name(option: str, name: str | None) -> None:
    """SweepError where a sweep cannot have the name, which is one of a file of the store."""
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise SweepError(f"{option} {name}: a name is letters, digits, '_', '-' and '.', no path")


def placement_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of Placement that a launch sets, checked."""
    from importlib.util import find_spec

    asked = [f"wandb={args.wandb}"] if args.wandb else []
    usual = to_dict(Placement())
    placement = {k: v for k, v in to_dict(override(Placement(), [*asked, *args.place])).items() if v != usual[k]}
    if placement.get("wandb") and args.engine == "local" and find_spec("wandb") is None:
        raise SweepError("--wandb: the package wandb is not installed: pip install 'scaling[wandb]', or leave it out")
    return placement
