"""Data: corpora become token files, token files become the rows that a training program reads.

`prepare` writes the token file of a corpus (`token_writer`), `tokens` finds and reads token files. `examples` gives the
rows of a run by its objective; `windows` and `corruption` compute them. `tokenizers` encodes text. Corpora are in
`corpora`, the task families that evaluations and mixtures draw questions from in `tasks`.
"""
