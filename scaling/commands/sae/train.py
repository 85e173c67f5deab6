"""`python -m scaling sae train RUN`: trains sparse autoencoders of a run's activations, as runs of the same store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.config.exit_status import DONE

if TYPE_CHECKING:
    from scaling.config.run import RunConfig
    from scaling.store.record import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    from scaling.config.sae import SAE_KINDS, SITES
    from scaling.store.sae_runs import BATCH_TOKENS, TOKENS

    parser.add_argument("run", metavar="RUN", help="run id of the model, or its first characters; or FILE.npy")
    parser.add_argument("--store", required=True, metavar="DIR", help="folder or address of the store")
    parser.add_argument("--layer", "--layers", dest="layers", default="0", metavar="I,J|all", help="layers (default 0)")
    parser.add_argument(
        "--site", "--sites", dest="sites", default="residual", metavar="SITE,...|all",
        help=f"{', '.join(SITES)} (default residual)",
    )  # fmt: skip
    parser.add_argument("--kind", default="topk", metavar="KIND,...", help=f"{', '.join(SAE_KINDS)} (default topk)")
    parser.add_argument("--latents", default="4096", metavar="N,...", help="sizes of the dictionary (default 4096)")
    parser.add_argument(
        "--l0", metavar="K,...", help="active latents per token: exact, a mean, or the target (default 32)"
    )
    parser.add_argument(
        "--coefficient", metavar="C,...", help="fixed coefficient of the penalty of relu and jumprelu, without a target"
    )
    parser.add_argument("--tokens", type=float, default=TOKENS, metavar="N", help="training tokens (default 2e6)")
    parser.add_argument("--batch", type=int, default=BATCH_TOKENS, metavar="N", help="tokens per step (default 4096)")
    parser.add_argument("--lr", type=float, metavar="X", help="peak learning rate (default 2e-4 · √(16384 / latents))")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of parameters and data order (default 0)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="path.to.field=value", help="change the configs")
    parser.add_argument("--sweep", metavar="NAME", help="name of the sweep, noted in the records")
    parser.add_argument("--configs", type=Path, metavar="DIR", help="only write the configs, for `scaling train`")
    parser.add_argument("--events", action="store_true", help="print JSON events on standard output")
    parser.add_argument(
        "--place", action="append", default=[], metavar="field=value", help="placement, as of `scaling train`"
    )


def run(args: argparse.Namespace) -> int:
    """Trains the autoencoders, all from one pass over the text."""
    import signal

    from scaling.commands.train import train_job
    from scaling.commands.train_job import TrainJob
    from scaling.config.placement import Placement
    from scaling.config.run import dumps, override, run_id
    from scaling.config.user_code.process_exit import END_PROCESS
    from scaling.store.files import write_atomic
    from scaling.store.open import open_store
    from scaling.training import process

    store = open_store(args.store)
    configs = sae_configs(args, store)
    if args.configs is not None:
        for config in configs:
            write_atomic(args.configs / f"{run_id(config)[:12]}.json", dumps(config).encode())
        print(args.configs)
        return DONE
    placement = override(Placement(), args.place, "--place")
    with process.stop_signals(
        signal.SIGTERM, signal.SIGINT, at_second=lambda number, _: END_PROCESS(128 + number)
    ) as received:
        job = TrainJob(
            configs, store, placement, received, args.sweep, pack=len(configs) if len(configs) > 1 else None,
            events=args.events,
        )  # fmt: skip
        return train_job(job)


def sae_configs(args: argparse.Namespace, store: Store) -> list[RunConfig]:
    """Returns the runs of the command: every combination of layer, site, kind, size and sparsity.

    Args:
        args: The arguments.
        store: The store with the model.

    Raises:
        ConfigError: An argument is not valid.
        StoreError: There is no such run.
    """
    import itertools

    from scaling.config.run import override
    from scaling.config.sae import SITES
    from scaling.config.validation import require
    from scaling.store.sae_runs import sae_run

    template, fixed = template_run(args.run, store)
    layers = range(template.model.layers) if args.layers == "all" else numbers(args.layers, "--layer")
    sites = SITES if args.sites == "all" else args.sites.split(",")
    require(args.l0 is None or args.coefficient is None, "--l0 and --coefficient: give one of them, not both")
    name = "l0" if args.coefficient is None else "coefficient"
    values = numbers((args.l0 or "32") if name == "l0" else args.coefficient, f"--{name}")
    shapes = itertools.product(layers, sites, args.kind.split(","), numbers(args.latents, "--latents"), values)
    configs = []
    for layer, site, kind, latents, value in shapes:
        fields = {"layer": layer, "site": site, "kind": kind, "latents": latents, name: value, **fixed}
        config = sae_run(template, fields, tokens=args.tokens, batch_tokens=args.batch, lr=args.lr, seed=args.seed)
        configs.append(override(config, args.set))
    return configs


def template_run(source: str, store: Store) -> tuple[RunConfig, dict[str, Any]]:
    """Returns the config of the model's run, and fields of SaeConfig that follow from the source.

    Args:
        source: A run id or its first characters, or FILE.npy.
        store: The store.

    Raises:
        ConfigError: The file is none of activations, or the run is that of an autoencoder.
        StoreError: There is no such run.
    """
    from scaling.config.validation import require
    from scaling.store.files import StoreError
    from scaling.store.sae_runs import activations_template

    if source.endswith(".npy"):
        from scaling.inference.sae.activation_file import add_activation_file

        name, width = add_activation_file(store, Path(source))
        return activations_template(name, width, Path(source)), {"model_run": None}
    store.fetch_results()
    record = store.read(store.find_run(source))
    if record is None:
        raise StoreError(f"run {source!r} in store {store.root}: has no record")
    require(record.config.sae is None, f"RUN {source}: an autoencoder: must be the run of a model")
    return record.config, {}


def numbers(text: str, flag: str) -> list[float]:
    """Returns the numbers of a list separated by commas.

    Args:
        text: The list.
        flag: The flag, for messages.
    """
    from scaling.config.validation import ConfigError

    try:
        return [int(value) if (value := float(part)).is_integer() else value for part in text.split(",")]
    except (ValueError, OverflowError):
        raise ConfigError(f"{flag} {text}: must be numbers, separated by commas") from None
