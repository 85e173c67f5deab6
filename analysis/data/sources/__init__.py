"""Readers of tables from files, folders and memory; `readers.read_table` is the entry point.

A reader returns the rows as they are written (`Table`), without choosing columns or converting cells: `delimited`
(text), `json_tables`, `tensorboard` and `event_files`, `harness` (lm-evaluation-harness), `trackers` (Weights &
Biases). `wide` and `name_forms` change the form of a table as the user says.
"""
