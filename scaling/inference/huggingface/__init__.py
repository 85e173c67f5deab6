"""Models of Hugging Face's transformers, both ways: `export_run` writes a run, `import_model` makes one.

`families` says which of our configs GPT-2, Llama, Gemma 2, Mixtral and T5 express, `read_config` and `write_config`
convert config.json, `tensors` maps parameters, `safetensors_files` reads and writes them, and `tokenizer` their
tokenizers. Neither transformers nor torch is needed, and nothing is unpickled.
"""
