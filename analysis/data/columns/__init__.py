"""Columns of a table: their usual names, the choice of one for each letter, and their numbers.

`choice.choose_columns` chooses the column of each letter, `reader.ColumnReader` reads its numbers in the units of
`Points`, and `compute.complete_compute` adds a missing N, D or C.
"""
