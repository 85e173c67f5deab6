"""Trains, evaluates and inspects single runs."""

from __future__ import annotations

import argparse
import os
import sys

from scaling.commands import (
    aot,
    count,
    evaluate,
    generate,
    prepare,
    train,
)
from scaling.commands.benchmarks import bench
from scaling.commands.models import coordinates, huggingface, internals
from scaling.commands.sae import group as sae
from scaling.config.exit_status import BAD_INPUT, DONE, FAILED, INTERRUPTED

COMMANDS = {
    "train": ("train runs from their configs; resumes interrupted runs", train.add_arguments, train.run),
    "prepare": ("turn a corpus into a token file", prepare.add_arguments, prepare.run),
    "count": (
        "count parameters by group and training FLOPs by part, without allocating memory", count.add_arguments,
        count.run,
    ),
    "generate": ("generate text from a trained run", generate.add_arguments, generate.run),
    "attention": ("write the attention maps of a prompt to a file", internals.add_attention, internals.run_attention),
    "activations": (
        "write the activations of a layer on the run's text to a file", internals.add_activations,
        internals.run_activations,
    ),
    "evaluate": ("evaluate trained runs and store the result of each item", evaluate.add_arguments, evaluate.run),
    "export": ("write a run as a model of Hugging Face", huggingface.add_export, huggingface.run_export),
    "import": ("make a run of a model of Hugging Face", huggingface.add_import, huggingface.run_import),
    "sae": ("train and inspect sparse autoencoders of a run's activations", sae.add_arguments, sae.run),
    "aot": ("compile a training step for a TPU slice without a TPU, and check memory", aot.add_arguments, aot.run),
    "bench": ("measure the training speed from 1M to 1B parameters against PyTorch", bench.add_arguments, bench.run),
    "coordinates": (
        "coordinate check: measure how activations grow with width or depth", coordinates.add_arguments,
        coordinates.run,
    ),
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m scaling", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, add_arguments, _) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=help_text))
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status (scaling/config/exit_status.py)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA prints thousands of warnings otherwise
    args = parser().parse_args(argv)

    from scaling.aot.check import CompilerError
    from scaling.config.os_errors import MIDWAY_ERRORS, describe_os_error, discard_unwritable_output
    from scaling.config.text import printable
    from scaling.config.user_code import user_errors
    from scaling.config.validation import ConfigError, one_line
    from scaling.data.tokens import CorpusError
    from scaling.store.files import StoreError
    from scaling.store.open import open_store

    try:
        if args.command == "prepare":
            open_store(args.store).check_writable()
        with user_errors():
            status = COMMANDS[args.command][2](args)
        sys.stdout.flush()
        return status
    except (ConfigError, CorpusError, StoreError) as error:
        print(f"scaling {args.command}: {printable(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except CompilerError as error:
        print(f"scaling {args.command}: {printable(str(error))}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader of the output has closed the pipe
        discard_unwritable_output()
        return DONE
    except OSError as error:
        discard_unwritable_output()
        print(f"scaling {args.command}: {describe_os_error(error)}", file=sys.stderr)
        return FAILED if error.errno in MIDWAY_ERRORS else BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):  # JAX's error for memory
            raise
        remedy = "use fewer or shorter inputs, a smaller batch or a smaller model"
        print(f"scaling {args.command}: too little memory: {one_line(error)[:200]}: {remedy}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"scaling {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
