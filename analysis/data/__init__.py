"""Reads any source into `Points`, the input of every fit.

`load.load` is the entry: a store of runs (`from_store`, over `runs` and `record_cache`), or a table from a file or from
memory (`readers`, `trackers`, `table`), whose columns, units and rows are chosen by `ReadOptions` (`options`,
`columns`, `units`, `filter`, `from_table`). `points` holds `Points` and `TrainingCurve`.
"""
