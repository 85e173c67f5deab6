"""Generates text from a trained run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling.config.user_code.blocks import use_code
from scaling.inference.load import load_model
from scaling.inference.options import Sampling
from scaling.inference.sae.steering import steered_model
from scaling.inference.texts import generate_texts
from scaling.store.open import as_store
from scaling.store.record import Store


def generate(
    run: str,
    store: Store | str | Path,
    prompts: str | Sequence[str] = "",
    *,
    tokens: int = 100,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    step: int | None = None,
    sae: str | None = None,
    steer: Mapping[int, float] | None = None,
    code: Sequence[str] = (),
) -> list[str]:
    """Generates a continuation of each prompt, up to the end of a document.

    Args:
        run: Run id, or its first characters.
        store: Folder or address of the store.
        prompts: One text, or several.
        tokens: Largest number of new tokens per prompt.
        sampling: Temperature, top-k and top-p.
        seed: Seed of the samples.
        step: Use the checkpoint after this step; None: the last step.
        sae: Run id of a sparse autoencoder of the model, whose directions `steer` adds.
        steer: Value of each latent, in units of the model's activations.
        code: Your files with blocks of the model, FILE.py or package.module; they are run.

    Returns:
        The continuations, without the prompts.

    Raises:
        ConfigError: An argument is out of range, or the autoencoder is that of another model.
        StoreError: There is no such run, checkpoint or autoencoder.
    """
    use_code(code)
    opened = as_store(store)
    model = steered_model(load_model(opened, run, step), opened, sae, steer or {})
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    return [row.text for row in generate_texts(model, texts, tokens, sampling, seed=seed)]
