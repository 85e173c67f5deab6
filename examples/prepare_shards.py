"""Trains a byte-level BPE, and prepares JSON lines as shards of tokens in two processes.

A corpus in a bucket is prepared the same way: `parquet:gs://bucket/fineweb/*.parquet`.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import scaling
from scaling import PrepareOptions


def write_corpus(folder, files=4, documents=50):
    """Writes documents as files of JSON lines."""
    folder.mkdir(exist_ok=True)
    for i in range(files):
        lines = (json.dumps({"text": f"Document {i}-{j}: {i * j} = {i} times {j}."}) for j in range(documents))
        (folder / f"{i}.jsonl").write_text("\n".join(lines))


def train_tokenizer(path, texts):
    """Trains a tokenizer with the library `tokenizers` and saves it."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer, tokenizer.decoder = byte_level, decoders.ByteLevel()
    options = {"special_tokens": ["<|endoftext|>"], "initial_alphabet": byte_level.alphabet(), "show_progress": False}
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, **options))
    tokenizer.save(str(path))


if __name__ == "__main__":  # each process of the preparation imports this file
    write_corpus(Path("corpus"))
    train_tokenizer("tokenizer.json", ["Document 1-2: 2 = 1 times 2."])
    options = PrepareOptions(processes=2, shard_tokens=2000)
    tokens = scaling.prepare("jsonl:corpus", "S", tokenizer="hf:tokenizer.json", options=options)
    print("training and validation tokens:", tokens.counts, "data.tokens:", tokens.content_hash)
