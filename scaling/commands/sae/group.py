"""`python -m scaling sae COMMAND`: trains and inspects sparse autoencoders (SAEs) of a run's activations."""

from __future__ import annotations

import argparse

from scaling.commands.sae import evaluate, exchange, features, train

COMMANDS = {
    "train": ("train autoencoders of a run's activations, or of a file of activations", train.add_arguments, train.run),
    "evaluate": ("score autoencoders on held-out text of their models", evaluate.add_arguments, evaluate.run),
    "export": ("write an autoencoder for SAELens, or as Gemma Scope", exchange.add_export, exchange.run_export),
    "import": ("make a run of an autoencoder of SAELens or Gemma Scope", exchange.add_import, exchange.run_import),
    "features": (
        "write a page of latents with their text, effects and neighbours", features.add_arguments, features.run,
    ),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    commands = parser.add_subparsers(dest="sae_command", required=True, metavar="COMMAND")
    for name, (help_text, add, _) in COMMANDS.items():
        add(commands.add_parser(name, help=help_text))


def run(args: argparse.Namespace) -> int:
    """Runs one of the commands."""
    return COMMANDS[args.sae_command][2](args)
