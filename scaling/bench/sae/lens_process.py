"""Trains an autoencoder with SAELens, in turns: `python -m scaling.bench.sae.lens_process SETTINGS.json`.

It is trained by SAELens's own trainer with its default optimizer, as its documentation does. The iterator of
activations waits before each turn for a line of standard input, and prints the seconds of the turn after it. At the end
the process prints explained variance and L0 on held-out activations, of the autoencoder as it is saved for use. It is a
process of its own because the threads of PyTorch and JAX would take turns on the same cores.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

NORM_BATCHES = 8  # that the scale of the activations is estimated from
DECAY = 0.2  # share of the steps at the end in which the learning rate falls


def main(path: str) -> None:
    """Trains and prints what was measured."""
    import torch

    with open(path) as file:
        settings = json.load(file)
    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    rows = torch.from_numpy(np.load(settings["activations"], allow_pickle=False))
    train, held_out = rows[: -settings["held_out"]], rows[-settings["held_out"] :]
    batches = turns(settings, train)
    trainer = make_trainer(settings, rows.shape[1], batches)
    print_json({"ready": True, "torch": torch.__version__})
    sae = trainer.fit()
    next(batches, None)  # prints the last turn, after which the trainer asks for no batch
    print_json(scores(sae, held_out))


def make_trainer(settings: dict[str, Any], width: int, batches: Iterator[Any]) -> Any:
    """Returns SAELens's trainer of an autoencoder.

    Args:
        settings: Kind, latents, l0, batch, rounds, steps and lr.
        width: Width of the activations.
        batches: Iterator over batches.
    """
    import sae_lens
    from sae_lens.config import SAETrainerConfig

    l0 = settings["l0"]
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "relu": ("Standard", {}),
        "topk": ("TopK", {"k": int(l0)}),
        "batch-topk": ("BatchTopK", {"k": l0}),
        "jumprelu": ("JumpReLU", {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": l0}),
    }
    name, options = kinds[settings["kind"]]
    shape = {"d_in": width, "d_sae": settings["latents"], "normalize_activations": "expected_average_only_in"}
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(**shape, **options)
    steps = settings["rounds"] * settings["steps"]
    trainer_config = SAETrainerConfig(
        total_training_samples=steps * settings["batch"], train_batch_size_samples=settings["batch"],
        lr=settings["lr"], lr_decay_steps=max(1, int(DECAY * steps)), lr_end=settings["lr"] / 10,
        n_batches_for_norm_estimate=NORM_BATCHES,
    )  # fmt: skip
    return sae_lens.SAETrainer(trainer_config, getattr(sae_lens, f"{name}TrainingSAE")(config), batches)


def turns(settings: dict[str, Any], train: Any) -> Iterator[Any]:
    """Yields the batches: first those of the scale, then those of each turn.

    Args:
        settings: Batch, rounds and steps.
        train: Activations (rows, width).
    """
    size, step = settings["batch"], 0
    for i in range(NORM_BATCHES):
        yield batch_rows(train, i, size)
    for _ in range(settings["rounds"]):
        sys.stdin.readline()
        started_at, processor = time.perf_counter(), time.process_time()
        for _ in range(settings["steps"]):
            yield batch_rows(train, step, size)
            step += 1
        seconds, processor = time.perf_counter() - started_at, time.process_time() - processor
        print_json({"seconds": seconds, "processor_seconds": processor})


def batch_rows(train: Any, step: int, size: int) -> Any:
    """Returns the rows of a step; after the last row the first follows.

    Args:
        train: Activations (rows, width).
        step: Number of the step.
        size: Rows of a step, at most those that there are.
    """
    start = step % (len(train) // size) * size
    return train[start : start + size]


def scores(sae: Any, held_out: Any) -> dict[str, float]:
    """Returns explained variance and L0 of an autoencoder as it is saved for use.

    Args:
        sae: The autoencoder in training.
        held_out: Activations (rows, width).
    """
    import sae_lens
    import torch

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        sae.save_inference_model(folder)
        saved = sae_lens.SAE.load_from_disk(folder)
        latents = saved.encode(held_out)
        error = torch.sum((saved.decode(latents) - held_out) ** 2)
    variance = torch.sum((held_out - held_out.mean(0)) ** 2)
    return {"explained_variance": float(1 - error / variance), "l0": float((latents > 0).sum() / len(held_out))}


def print_json(data: dict[str, Any]) -> None:
    """Prints one line at once."""
    print(json.dumps(data), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
