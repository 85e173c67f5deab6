"""Data: corpora become token files, token files become the rows that a training program reads.

`prepare` writes the token file of a corpus (`token_writer`), `tokens` finds and reads token files. `examples` gives the
rows of a run by its objective; `windows` and `corruption` compute them. `tokenizers` encodes text. Corpora are in
`corpora`, the task families that evaluations and mixtures draw questions from in `tasks`.
"""

TOKENIZER_HELP = (
    "bytes (default), sentencepiece:V (trained on the corpus, V pieces), sentencepiece:FILE.model, hf:PATH (a "
    "tokenizer.json or a folder that has one), or tiktoken:NAME|FILE; ,eod=TOKEN names the token that ends a document, "
    ",bos=TOKEN adds one that begins it"
)
