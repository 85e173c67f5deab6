"""Planning a sweep: turns budgets and settings into runs, and computes their order and cost.

`rules` determines the hyperparameters of a model of given width, `budget` turns FLOPs into steps, `settings` parses
`--set`, `prior` has published laws, `corpus` finds or prepares the corpus, `plan` orders the runs and counts the FLOPs
that shared prefixes save, `sharing` describes trunks, branches and packs, `workers` distributes runs over processes.
"""
