"""Tables of scores as tasks, one row per run and task.

A table has columns task, at least one of N, D, C and L, and scores. Long form: the column `metric` names the metric of
`score`, one row per metric. Wide form: `score` (a share of correct answers) and columns of continuous metrics. Instead
of `score`, a table can have counts: `k` correct of `n` items. A share needs `n`, its number of items, or `se`, its
standard error. `columns` chooses the columns, `rows` reads their numbers, and `read.load_score_table` makes the tasks.
"""
