"""Trains a sparse autoencoder of a small model, writes it for SAELens, and makes a run of the files again.

The imported autoencoder computes the same: the scale of the activations is folded into its weights.
"""

import scaling
from scaling import DataConfig, ModelConfig, OptimizerConfig, RunConfig

STORE = "S"
tokens = scaling.prepare("cpython", STORE)
model = RunConfig(
    model=ModelConfig(vocab=tokens.vocab, width=16, layers=2, heads=2, mlp_width=48),
    data=DataConfig(tokens=tokens.content_hash, length=64),
    optimizer=OptimizerConfig(lr=0.01),
    batch=16,
    steps=50,
)
model_run = scaling.train(model, STORE, progress=False).run_id
fields = {"layer": 1, "site": "mlp", "kind": "jumprelu", "latents": 64, "l0": 8}
trained = scaling.train(scaling.sae_run(model, fields, tokens=50_000, batch_tokens=2048), STORE, progress=False)

facts = scaling.export_sae(trained.run_id, STORE, "for-saelens")  # sae_lens.SAE.load_from_disk("for-saelens")
print(facts["files"], facts["latents"])
imported = scaling.import_sae("for-saelens", STORE, model_run)
for record in (trained, imported):
    score = scaling.evaluate_sae(record.run_id, STORE, tokens=4096)["explained_variance"]
    print(record.run_id[:12], f"explained variance {score.value:.4f}")
