"""Reads a source into `Points`, the input of every fit.

`load.load` is the entry point. It reads a store of runs (`from_store`, `runs`, `record_cache`), or a table from a file
or from memory (`sources`, `table`). `ReadOptions` choose columns, units and rows (`options`, `columns`,
`units`, `filter`, `from_table`). `points` defines `Points` and `TrainingCurve`.
"""
