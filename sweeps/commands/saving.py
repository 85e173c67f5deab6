"""`python -m sweeps saving NAME`: measures the time that shared prefixes and packs save."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE
from sweeps.commands import options


def add(commands: options.Commands[argparse.ArgumentParser]) -> None:
    """Adds the parser of `saving`."""
    parser = options.add_sweep_command(
        commands, "saving", "measure the time that shared prefixes and packs save, against one process per run"
    )
    options.add_definition_options(parser)
    parser.add_argument(
        "--rounds", type=int, default=1, help="launches per mode (default 1); later launches are also estimated first"
    )
    parser.add_argument("--workers", type=int, metavar="K", help="as for `launch`, in the mode with sharing")
    parser.add_argument("--cold", action="store_true", help="add a mode in which each process compiles its programs")
    options.add_pack_options(parser)
    options.add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the seconds of each mode, the differences of their records, and the estimates."""
    from sweeps.cost.sharing_measured import SavingOptions, as_text, measure_savings
    from sweeps.interface.launch import prepare_corpus
    from sweeps.interface.plan import fetch_store

    request = options.sweep_request(args)
    store = fetch_store(args.store)
    corpus = prepare_corpus(request, store)
    arguments = ["--tokenizer", args.tokenizer, "--seed", str(args.seed)]
    arguments += ["--corpus", request.corpus_name] if request.corpus_name else []
    arguments += [word for source in args.code for word in ("--code", source)]
    arguments += [flag for setting in args.settings for flag in ("--set", setting)]
    sharing = [f"--{name}={value}" for name in ("workers", "pack") if (value := getattr(args, name)) is not None]
    saving_options = SavingOptions(arguments=arguments, sharing=sharing, rounds=args.rounds, cold=args.cold)
    result = measure_savings(store, args.names, request.configs(corpus), corpus, saving_options)
    print(json.dumps(result, indent=1, allow_nan=False) if args.json else as_text(result))
    return DONE
