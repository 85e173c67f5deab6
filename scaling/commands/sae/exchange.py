"""`python -m scaling sae export RUN` and `sae import PATH`: autoencoders of SAELens and Gemma Scope, both ways."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from scaling.config.exit_status import DONE


def add_export(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `sae export`."""
    parser.add_argument("run", metavar="RUN", help="run id of the autoencoder, or its first characters")
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the run")
    parser.add_argument(
        "--format", default="sae-lens", metavar="FORMAT",
        help="sae-lens (cfg.json and sae_weights.safetensors, default) or gemma-scope (params.npz)",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--step", type=int, metavar="N", help="use the checkpoint after N steps (default: the last step)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_import(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `sae import`."""
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="folder of SAELens, or params.npz of Gemma Scope or its folder"
    )
    parser.add_argument("--store", required=True, metavar="DIR", help="the store that has the model's run")
    parser.add_argument("--model", required=True, metavar="RUN", help="run id of the model, or its first characters")
    parser.add_argument("--layer", type=int, metavar="I", help="layer of the model, from 0 (default: as its files say)")
    parser.add_argument(
        "--site", metavar="SITE", help="residual, attention or mlp (default: as its files say, else residual)"
    )
    parser.add_argument(
        "--l0", type=float, metavar="K", help="mean number of active latents per token (default: as its files say)"
    )
    parser.add_argument("--sweep", metavar="NAME", help="name of a sweep, noted in the record")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_export(args: argparse.Namespace) -> int:
    """Writes an autoencoder in another package's format and prints what was written."""
    from scaling.inference.sae.formats.exchange import export_sae
    from scaling.store.open import open_store

    facts = export_sae(open_store(args.store), args.run, args.out, args.format, args.step)
    if args.json:
        print(json.dumps(facts | {"folder": str(args.out)}))
        return DONE
    print(f"{args.out}\n  {args.format}: {', '.join(facts['files'])}")
    print(f"  {facts['kind']}, {facts['latents']:,} latents of width {facts['width']:,}")
    print(f"  of run {facts['run_id']} after {facts['step']:,} steps")
    return DONE


def run_import(args: argparse.Namespace) -> int:
    """Makes a run of an autoencoder and prints its id."""
    from scaling.inference.sae.formats.exchange import SaeImportOptions, import_sae
    from scaling.store.open import open_store

    options = SaeImportOptions(model=args.model, layer=args.layer, site=args.site, l0=args.l0, sweep=args.sweep)
    record, is_new = import_sae(open_store(args.store), args.path, options)
    about, sae = record.about["imported"], record.config.sae
    assert sae is not None
    if args.json:
        facts = {"run_id": record.run_id, "new": is_new, "init": record.config.init, "params": record.params}
        print(json.dumps(facts | about | {"kind": sae.kind, "layer": sae.layer, "site": sae.site, "l0": sae.l0}))
        return DONE
    state = "" if is_new else " (in the store already)"
    print(f"{record.run_id}{state}\n  {about['architecture']}: {sae.kind}, {sae.latents:,} latents")
    print(f"  layer {sae.layer}, {sae.site}, {sae.l0:g} active latents per token")
    return DONE
