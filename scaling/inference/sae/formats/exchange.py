"""Makes files of other packages of a trained autoencoder, and a run of their files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scaling.config.optimizer import OptimizerConfig
from scaling.config.run import EvalConfig, RunConfig, run_id
from scaling.config.sae import SITES, SaeConfig
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError, ValidatedConfig, require, require_choice
from scaling.counting import counts
from scaling.inference.huggingface.import_model import UNUSED_RATE, write_run
from scaling.inference.huggingface.safetensors_files import file_digests
from scaling.inference.parameters import parameter_hash, read_run
from scaling.inference.sae.formats import gemma_scope, sae_lens
from scaling.inference.sae.formats.weights import SaeWeights, check_finite
from scaling.inference.sae.load import load_sae
from scaling.program.array_checksums import array_checksums
from scaling.program.step import compute_dtype
from scaling.store.origin.clock import current_date
from scaling.store.origin.commit import code_commit
from scaling.store.record import Record, Store

WRITERS = {"sae-lens": sae_lens.write_sae_lens, "gemma-scope": gemma_scope.write_gemma_scope}
ARRAYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
COPIED_FACTS = ("tokenizer", "corpus_facts")  # of the model's record


@dataclass(frozen=True, kw_only=True)
class SaeImportOptions(ValidatedConfig):
    """What is set about an imported autoencoder.

    Attributes:
        model: Run id of the model whose activations it reads, or its first characters.
        layer: Layer of the model, from 0; None: as its files say.
        site: One of SITES; None: as its files say, else the residual stream.
        l0: Active latents per token; None: as its files say.
        sweep: Name of a sweep, noted in the record.
    """

    model: str
    layer: int | None = None
    site: str | None = None
    l0: float | None = None
    sweep: str | None = None

    def check(self) -> None:
        """Raises ConfigError where a value is out of range."""
        if self.site is not None:
            require_choice("--site", self.site, SITES)


def export_sae(store: Store, run: str, folder: Path, kind: str, step: int | None = None) -> dict[str, Any]:
    """Writes a trained autoencoder in the format of another package; the folder is complete or absent.

    The scale of the activations is folded in: the files are for activations as the model computes them.

    Args:
        store: The store.
        run: Run id of the autoencoder, or its first characters.
        folder: The folder to make.
        kind: sae-lens or gemma-scope.
        step: Training steps done; None: the last step.

    Returns:
        Facts: run_id, step, kind, latents, width and files.

    Raises:
        ConfigError: The format cannot express the autoencoder, or the folder exists.
        StoreError: There is no such run or checkpoint.
    """
    require_choice("--format", kind, tuple(WRITERS))
    require(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        f"--out {folder}: exists already: choose another folder, or remove it",
    )
    trained = load_sae(store, run, step)
    arrays = {name: np.asarray(trained.params[name]) for name in ARRAYS if name in trained.params}
    check_finite(store.run_dir(trained.record.run_id), arrays)
    sae, config = trained.sae, trained.config
    l0 = sae.l0 if sae.kind == "topk" else trained.record.final.get("l0", sae.l0)
    facts = {"context_size": config.data.length, "scaling_run": trained.record.run_id}
    weights = SaeWeights(sae.kind, arrays, l0, sae.layer, sae.site, sae.model_run, facts)
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f".{folder.name}.writing-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        files = WRITERS[kind](temporary, weights)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shape = {"kind": sae.kind, "latents": weights.latents, "width": weights.width}
    return {"run_id": trained.record.run_id, "step": trained.step, **shape, "files": files}


def import_sae(store: Store, path: Path, options: SaeImportOptions) -> tuple[Record, bool]:
    """Makes a run of no training steps of an autoencoder of another package.

    Args:
        store: The store, with the model's run.
        path: Folder of SAELens, or params.npz of Gemma Scope or its folder.
        options: What is set about it.

    Returns:
        The record, and whether it is new.

    Raises:
        ConfigError: The files are damaged or not supported, or do not fit the model.
        StoreError: There is no run of the model.
    """
    model = read_run(store, options.model)
    require(model.config.sae is None, f"--model {options.model}: an autoencoder: must be the run of a model")
    store.check_writable()
    weights, source, files = read_weights(path, model.config.model.width)
    leaves = {name: jnp.asarray(array) for name, array in weights.arrays.items()}
    arrays: dict[str, jax.Array] = {**leaves, "scale": jnp.ones(()), "variance": jnp.ones(())}
    config = imported_config(path, weights, model, parameter_hash(array_checksums(arrays)), options)
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    about: dict[str, Any] = {
        "commit": code_commit() or "unknown", "started": current_date(), "precision": compute_dtype(config.precision),
        "imported": {"folder": folder.name, "architecture": source, "files": dict(file_digests(folder, files))},
        **{name: model.about[name] for name in COPIED_FACTS if name in model.about},
    }  # fmt: skip
    if "imported" not in model.about or "has_text" in model.about:
        about["has_text"] = True
    params = counts.run_parameters(config)
    record = Record(
        run_id=run_id(config), config=config, status="done", sweep=options.sweep, params=params, about=about
    )
    return write_run(store, record, arrays)


def read_weights(path: Path, width: int) -> tuple[SaeWeights, str, list[str]]:
    """Reads an autoencoder; returns it, its format, and the names of its files.

    Args:
        path: Folder of SAELens, or params.npz of Gemma Scope or its folder.
        width: Width of the model.

    Raises:
        ConfigError: There is none, it is damaged, or of another width.
    """
    if path.is_dir() and (path / sae_lens.CONFIG).exists():
        weights = sae_lens.read_sae_lens(path, width)
        return weights, f"sae-lens {sae_lens.ARCHITECTURES[weights.kind]}", [sae_lens.CONFIG, sae_lens.WEIGHTS]
    file = path / gemma_scope.FILE if path.is_dir() else path
    if not file.is_file() or file.suffix != ".npz":
        raise ConfigError(
            f"{path}: must be a folder with {sae_lens.CONFIG} and {sae_lens.WEIGHTS} (SAELens), or {gemma_scope.FILE} "
            "(Gemma Scope)"
        )
    return gemma_scope.read_gemma_scope(file, width), "gemma-scope jumprelu", [file.name]


def imported_config(
    path: Path, weights: SaeWeights, model: Record, parameters: str, options: SaeImportOptions
) -> RunConfig:
    """Returns the config of an imported autoencoder.

    Args:
        path: Its files, for messages.
        weights: The autoencoder.
        model: Record of the model's run.
        parameters: Hash of its parameters.
        options: What is set about it.

    Raises:
        ConfigError: The files contradict the options, or neither says what is needed.
    """
    named = weights.model
    is_run = named is not None and len(named) == len(model.run_id) and not set(named) - set("0123456789abcdef")
    require(
        not is_run or named == model.run_id,
        f"{path}: an autoencoder of run {str(named)[:12]}: --model is run {model.run_id[:12]}",
    )
    layer = agreed(path, "layer", options.layer, weights.layer)
    site = agreed(path, "site", options.site, weights.site)
    l0 = options.l0 if options.l0 is not None and weights.kind != "topk" else weights.l0
    require(layer is not None, f"{path}: names no layer: give --layer")
    require(l0 is not None, f"{path}: states no number of active latents per token: give --l0, their mean")
    fields: Mapping[str, Any] = {"kind": weights.kind, "latents": weights.latents, "layer": layer, "l0": l0}
    sae = SaeConfig(site=site or SITES[0], model_run=model.run_id, **fields)
    return replace(
        model.config, sae=sae, optimizer=OptimizerConfig(lr=UNUSED_RATE), schedule=ScheduleConfig(), eval=EvalConfig(),
        batch=1, steps=0, seed=0, init=parameters, budget=None,
    )  # fmt: skip


def agreed(path: Path, name: str, option: Any, stated: Any) -> Any:
    """Returns the value of an option or of the files, whichever there is; ConfigError if they differ."""
    differ = option is not None and stated is not None and option != stated
    require(not differ, f"--{name} {option}: {path} says {stated}")
    return stated if option is None else option
