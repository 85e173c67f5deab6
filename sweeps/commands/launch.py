"""sweeps.commands.launch."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from typing import Any

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
    from sweeps.engines import engine
    from sweeps.launching.launch import dry_run, launch

    engine(args.engine)
    wrong = [text for text in args.option if not text.partition("=")[1]]
    if wrong:
        raise SweepError(f"--option {wrong[0]}: must be NAME=VALUE")
    options = {name: value for name, _, value in (text.partition("=") for text in args.option)}
    known = definition(args.name)
    caps = Caps(flops=args.cap_flops, hours=args.cap_hours, usd=args.cap_usd, on=slice_of(args))
    check_name("--as", args.as_name)
    placement = placement_of(args)
    store = fetched(args.store)
    store.check_writable()
    corpus = find_or_prepare(store.root, args.corpus or known.corpus, args.tokenizer)
    store.put_tokens()
    configs = made(args, corpus)
    name = args.as_name or args.name
    if args.dry_run:
        print(dry_run(store, name, configs, corpus, args.engine, options))
        return 0
    status = launch(
        store,
        name,
        configs,
        corpus,
        engine_name=args.engine,
        engine_options=options,
        separate=args.separate,
        caps=caps,
        workers=args.workers,
        placement=placement,
        tasks=known.tasks,
        pack=args.pack,
    )
    if status == 0 and known.found is not None:  # sweeps knows nothing of analysis but its door
        subprocess.run([sys.executable, "-m", "analysis", known.found, str(args.store)], check=False)
    return status


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
