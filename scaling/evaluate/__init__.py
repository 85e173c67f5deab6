"""What a trained model scores, and can do.

A new family of tasks is one file in scaling/evaluate/tasks with `QUESTION`, `DIFFICULTIES`, `USUAL` and
`draw(difficulty, whole)` (see scaling/evaluate/family.py), and one line here. A task is a family at a difficulty, as
addition-3.
"""

FAMILIES = {
    "addition": "scaling.evaluate.tasks.addition",  # of two numbers, by digits
    "reversed-addition": "scaling.evaluate.tasks.reversed_addition",  # the same, the sum's lowest digit first
    "multiplication": "scaling.evaluate.tasks.multiplication",  # of two numbers, by digits
    "modular": "scaling.evaluate.tasks.modular",  # addition modulo the difficulty
    "sorting": "scaling.evaluate.tasks.sorting",  # of letters, by their number
    "copying": "scaling.evaluate.tasks.copying",  # of letters, by their number
    "induction": "scaling.evaluate.tasks.induction",  # what came after this letter before?
    "recall": "scaling.evaluate.tasks.recall",  # the value of a key, by the number of pairs
    "regression": "scaling.evaluate.tasks.regression",  # a linear function from its values, by its inputs
    "labelling": "scaling.evaluate.tasks.labelling",  # the names that classes have here, by their number
    "lookup": "scaling.evaluate.tasks.lookup",  # through a table, by the number of hops
    "brackets": "scaling.evaluate.tasks.brackets",  # closing what is open, by depth
}
