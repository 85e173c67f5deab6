"""Corpora to token files, and token files to batches.

A new corpus is one file in scaling/data/corpora with `open_corpus(argument, options)`, and one line here.
"""

CORPORA = {
    "cpython": "scaling.data.corpora.cpython",  # the running interpreter's standard library
    "text": "scaling.data.corpora.text",  # text:PATH, a person's own files
    "tfds": "scaling.data.corpora.tfds",  # tfds:NAME, TensorFlow Datasets
    "seqio": "scaling.data.corpora.seqio",  # seqio:TASK, tokenised by the task
    "mix": "scaling.data.corpora.mix",  # mix:cpython=0.8,addition:1-5=0.2, text and families of tasks in shares
    "markov": "scaling.data.corpora.markov",  # text whose entropy rate is known
    "modular": "scaling.data.corpora.modular",  # equations modulo p, for grokking
    "labels": "scaling.data.corpora.labels",  # strings in classes with wrong labels, for double descent
}
