"""SAELens loads autoencoders and makes others: `python -m tests.scaling.inference.sae.sae_lens_process FOLDER`.

It reads FOLDER/x.npy and the folders in FOLDER/ours, and writes FOLDER/theirs/NAME for each architecture. FOLDER/out
has latents and outputs of each, as SAELens computes them. Importing SAELens takes many seconds.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")
SCALE = 1.7  # of the activations in training, folded in


def main(folder: Path) -> None:
    """Loads and makes autoencoders."""
    import sae_lens
    import torch

    torch.manual_seed(0)
    x = torch.from_numpy(np.load(folder / "x.npy"))
    for path in sorted((folder / "ours").iterdir()):
        write(folder / "out" / f"ours-{path.name}.npz", sae_lens.SAE.load_from_disk(path), x)
    for name, training in architectures(sae_lens, x.shape[1]).items():
        with torch.no_grad():
            for parameter in training.parameters():
                parameter += 0.1 * torch.randn_like(parameter)  # norms of the decoder's rows are not 1
            if hasattr(training, "threshold"):
                training.threshold.abs_()
            if name == "batchtopk":
                for _ in range(50):
                    training.update_topk_threshold(training.encode(x * SCALE))
        training.fold_activation_norm_scaling_factor(SCALE)
        training.save_inference_model(folder / "theirs" / name)
        write(folder / "out" / f"theirs-{name}.npz", sae_lens.SAE.load_from_disk(folder / "theirs" / name), x)


def architectures(sae_lens: Any, width: int) -> dict[str, Any]:
    """One autoencoder of each architecture, and one that does not subtract the decoder's bias first."""
    shape = {"d_in": width, "d_sae": 64}
    metadata = sae_lens.saes.sae.SAEMetadata(model_name="other", hook_name="blocks.1.hook_mlp_out", l0=5.0)
    return {
        name: kind(config(**shape, **options, metadata=metadata))
        for name, kind, config, options in (
            ("standard", sae_lens.StandardTrainingSAE, sae_lens.StandardTrainingSAEConfig, {}),
            ("topk", sae_lens.TopKTrainingSAE, sae_lens.TopKTrainingSAEConfig, {"k": 4}),
            (
                "topk-plain", sae_lens.TopKTrainingSAE, sae_lens.TopKTrainingSAEConfig,
                {"k": 4, "rescale_acts_by_decoder_norm": False},
            ),
            ("batchtopk", sae_lens.BatchTopKTrainingSAE, sae_lens.BatchTopKTrainingSAEConfig, {"k": 4.5}),
            ("jumprelu", sae_lens.JumpReLUTrainingSAE, sae_lens.JumpReLUTrainingSAEConfig, {}),
            (
                "jumprelu-plain", sae_lens.JumpReLUTrainingSAE, sae_lens.JumpReLUTrainingSAEConfig,
                {"apply_b_dec_to_input": False},
            ),
        )
    }  # fmt: skip


def write(path: Path, sae: Any, x: Any) -> None:
    """Writes latents and output of an autoencoder."""
    import torch

    path.parent.mkdir(exist_ok=True)
    with torch.no_grad():
        latents = sae.encode(x)
        np.savez(path, latents=latents.numpy(), output=sae.decode(latents).numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
