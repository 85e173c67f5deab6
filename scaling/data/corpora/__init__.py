"""Corpora, one module each, and the registry CORPORA of their names; `user_file` opens functions of a user's file.

To add a corpus, write a module here with `open_corpus(argument, options)`, which returns a `TextCorpus` or a
`TokenCorpus` (scaling/data/corpus.py), and add one line to CORPORA. `prepare KIND:ARGUMENT,key=value,...` opens it.
`files` has corpora in files of other tools, `tokenized` those that others have tokenised.
"""

CORPORA = {
    "cpython": "scaling.data.corpora.cpython",  # source of the running interpreter's standard library
    "text": "scaling.data.corpora.text",  # text:PATH, files of the user
    "jsonl": "scaling.data.corpora.files.json_lines",  # jsonl:PATH, JSON lines, also compressed
    "parquet": "scaling.data.corpora.files.parquet",  # parquet:PATH
    "hf": "scaling.data.corpora.files.huggingface",  # hf:PATH_OR_NAME, Hugging Face datasets, offline
    "arrayrecord": "scaling.data.corpora.files.array_record",  # arrayrecord:PATH
    "megatron": "scaling.data.corpora.tokenized.megatron",  # megatron:PREFIX, .bin and .idx
    "nanogpt": "scaling.data.corpora.tokenized.nanogpt",  # nanogpt:PATH, .bin of nanoGPT and llm.c
    "npy": "scaling.data.corpora.tokenized.npy",  # npy:PATH, arrays of tokens, as OLMo's
    "tfds": "scaling.data.corpora.tfds",  # tfds:NAME, TensorFlow Datasets
    "seqio": "scaling.data.corpora.seqio",  # seqio:TASK, tokenised by the task
    "mix": "scaling.data.corpora.mix",  # mix:cpython=0.8,addition:1-5=0.2, text and task families by share
    "markov": "scaling.data.corpora.markov",  # a Markov chain of known entropy rate
    "modular": "scaling.data.corpora.modular",  # equations modulo p, for grokking
    "labels": "scaling.data.corpora.labels",  # strings in classes with label noise, for double descent
}
PATH_KINDS = (
    "jsonl",
    "parquet",
    "hf",
    "arrayrecord",
    "megatron",
    "nanogpt",
    "npy",
)  # the argument may have "=" and "\\,"
