"""Data: corpora become token files, token files become the rows that a training program reads.

`prepare` writes the token file of a corpus, `tokens` reads and writes token files, `examples` gives the rows of a run
by its objective, `windows` and `corruption` compute them, `tokenizers` encodes text. Corpora are in `corpora`, the task
families that evaluations and mixtures draw questions from in `tasks`.
"""
