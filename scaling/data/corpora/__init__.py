"""Corpora, one module each, and the registry CORPORA of their names; `user_file` opens functions of a user's file.

To add a corpus, write a module here with `open_corpus(argument, options)`, which returns a `TextCorpus` or a
`TokenCorpus` (scaling/data/corpus.py), and add one line to CORPORA. `prepare KIND:ARGUMENT,key=value,...` opens it.
"""

CORPORA = {
    "cpython": "scaling.data.corpora.cpython",  # source of the running interpreter's standard library
    "text": "scaling.data.corpora.text",  # text:PATH, files of the user
    "tfds": "scaling.data.corpora.tfds",  # tfds:NAME, TensorFlow Datasets
    "seqio": "scaling.data.corpora.seqio",  # seqio:TASK, tokenised by the task
    "mix": "scaling.data.corpora.mix",  # mix:cpython=0.8,addition:1-5=0.2, text and task families by share
    "markov": "scaling.data.corpora.markov",  # a Markov chain of known entropy rate
    "modular": "scaling.data.corpora.modular",  # equations modulo p, for grokking
    "labels": "scaling.data.corpora.labels",  # strings in classes with label noise, for double descent
}
