"""`python -m scaling export RUN --to hf:DIR` and `import hf:DIR`: models of Hugging Face's transformers, both ways."""

from __future__ import annotations

import argparse
import json

from scaling.config.exit_status import DONE


def add_export(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `export`."""
    parser.add_argument("run", metavar="RUN", help="run id, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument("--to", required=True, metavar="hf:DIR", help="the folder to make, in Hugging Face's layout")
    parser.add_argument(
        "--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last step)"
    )
    parser.add_argument(
        "--dtype", default="float32", metavar="TYPE", help="type of the weights: float32 (default, exact) or bfloat16"
    )
    parser.add_argument(
        "--shard-bytes", type=float, default=5e9, metavar="N", help="largest file of weights in bytes (default 5e9)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_import(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `import`."""
    parser.add_argument(
        "model", metavar="hf:DIR", help="folder with config.json, safetensors files and a tokenizer; others are refused"
    )
    parser.add_argument("--store", required=True, metavar="DIR", help="the store to write the run to")
    parser.add_argument("--sweep", metavar="NAME", help="name of a sweep, noted in the record")
    parser.add_argument("--length", type=int, metavar="N", help="longest context in tokens (default: the model's own)")
    parser.add_argument(
        "--tokens", default="", metavar="HASH",
        help="content hash of a token file of the store, the text that `activations` reads (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--trained-tokens", type=float, metavar="D",
        help="tokens that it was trained on, as its authors state: fits use it (default: unknown, fits leave it out)",
    )  # fmt: skip
    parser.add_argument(
        "--loss", type=float, metavar="L", help="its held-out loss in nats per token, as its authors state"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_export(args: argparse.Namespace) -> int:
    """Writes a run in Hugging Face's layout and prints what was written."""
    from scaling.inference.huggingface.export import ExportOptions, export_run, parse_folder
    from scaling.store.open import open_store

    folder = parse_folder(args.to, "--to")
    options = ExportOptions(dtype=args.dtype, shard_bytes=args.shard_bytes, step=args.step)
    facts = export_run(open_store(args.store), args.run, folder, options)
    if args.json:
        print(json.dumps(facts | {"folder": str(folder)}))
        return DONE
    print(f"{folder}\n  {facts['architecture']}, {facts['parameters']:,} parameters, {facts['dtype']}")
    print(f"  of run {facts['run_id']} after {facts['step']:,} steps")
    if rounded := facts.get("rounded_gains"):
        print(f"  {rounded} gains of norms are rounded: transformers stores them less 1")
    return DONE


def run_import(args: argparse.Namespace) -> int:
    """Makes a run of a model and prints its id."""
    from scaling.inference.huggingface.export import parse_folder
    from scaling.inference.huggingface.import_model import ImportOptions, import_model
    from scaling.store.open import open_store

    folder = parse_folder(args.model, "import")
    options = ImportOptions(
        sweep=args.sweep, length=args.length, tokens=args.tokens, trained_tokens=args.trained_tokens, loss=args.loss
    )
    record, is_new = import_model(open_store(args.store), folder, options)
    about = record.about.get("imported", {})
    if args.json:
        facts = {"run_id": record.run_id, "new": is_new, "init": record.config.init, "params": record.params}
        print(json.dumps(facts | about | {"tokenizer": record.about.get("tokenizer")}))
        return DONE
    state = "" if is_new else " (in the store already)"
    print(f"{record.run_id}{state}\n  {about.get('architecture')}, {record.params['total']:,} parameters")
    if "tokenizer" not in record.about:
        print("  without a tokenizer: prompts are numbers of tokens")
    return DONE
