"""Inference with trained models: loading, scoring, text generation, and internal activations.

`load` restores a model from the store (`load_model` -> `TrainedModel`). `scorer` scores texts and generates them in
batches, over all devices (`Scorer`). `sampling` draws tokens and generates with a key-value cache (`kv_cache`);
`batched_sampling` generates for prompts of different lengths, which `length_buckets` groups. `activations` returns
attention maps and activations of a layer. `options` has the options of generation.
`parameters` finds checkpoints by run or by the hash of their parameters, and `huggingface` reads and writes models of
transformers.
"""
