"""Exports a trained model for Hugging Face, imports it again as if it were another's, and fine-tunes it.

A folder that transformers has saved is imported in the same way: GPT-2, Llama, Gemma 2, Mixtral or T5.
"""

from dataclasses import replace

import scaling
from scaling import DataConfig, ModelConfig, OptimizerConfig, RunConfig

if __name__ == "__main__":
    tokens = scaling.prepare("cpython", "S")
    config = RunConfig(
        model=ModelConfig(vocab=tokens.vocab, width=32, layers=2, heads=4, mlp_width=88),
        data=DataConfig(tokens=tokens.content_hash, length=64),
        optimizer=OptimizerConfig(lr=0.01),
        batch=8,
        steps=100,
    )
    trained = scaling.train(config, "S", progress=False)
    facts = scaling.export_model(trained.run_id, "S", "model")
    print("written:", facts["architecture"], facts["files"])

    imported = scaling.import_model("model", "another-store")
    print("imported:", imported.run_id[:12], imported.params["total"], "parameters")
    scaling.prepare("cpython", "another-store")
    shorter = replace(config, steps=20, optimizer=OptimizerConfig(lr=0.003))
    tuned = scaling.train(scaling.init_from(shorter, imported.run_id, "another-store"), "another-store", progress=False)
    print(f"loss {trained.final['loss']:.3f} before fine-tuning, {tuned.final['loss']:.3f} after")
