"""Planning a sweep: from budgets and settings to runs, their order and cost, before anything is started.

`rules` gives a model of given width its hyperparameters, `budget` turns FLOPs into steps, `settings` reads `--set`,
`corpus` finds or prepares the text, `plan` orders the runs and counts what shared prefixes save, `sharing` describes
trunks, branches and packs, and `workers` distributes runs over the processes of this machine.
"""
