"""What a trained model scores, and can do.

A new family of tasks is one file in scaling/evaluate/tasks with `QUESTION`, `DIFFICULTIES`, `USUAL` and
`draw(difficulty, whole)` (see scaling/data/tasks/family.py), and one line here. A task is a family at a difficulty, as
addition-3.
"""

FAMILIES = {
    "addition": "scaling.data.tasks.families.addition",  # of two numbers, by digits
    "reversed-addition": "scaling.data.tasks.families.reversed_addition",  # the same, the sum's lowest digit first
    "multiplication": "scaling.data.tasks.families.multiplication",  # of two numbers, by digits
    "modular": "scaling.data.tasks.families.modular",  # addition modulo the difficulty
    "sorting": "scaling.data.tasks.families.sorting",  # of letters, by their number
    "copying": "scaling.data.tasks.families.copying",  # of letters, by their number
    "induction": "scaling.data.tasks.families.induction",  # what came after this letter before?
    "recall": "scaling.data.tasks.families.recall",  # the value of a key, by the number of pairs
    "regression": "scaling.data.tasks.families.regression",  # a linear function from its values, by its inputs
    "labelling": "scaling.data.tasks.families.labelling",  # the names that classes have here, by their number
    "lookup": "scaling.data.tasks.families.lookup",  # through a table, by the number of hops
    "brackets": "scaling.data.tasks.families.brackets",  # closing what is open, by depth
}
