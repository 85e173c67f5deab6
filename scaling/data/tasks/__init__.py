"""Task families: questions of chosen difficulty, for evaluations and for mixtures of training text.

To add a family, write a module in `families` with QUESTION_PATTERN, DIFFICULTIES, DEFAULT_DIFFICULTIES and
`draw(difficulty, randbelow)`, and add one line to FAMILIES. `family` draws the items and splits them into training and
held-out ones. A task is a family at a difficulty, such as addition-3; a user's own is FILE.py:NAME-3.
"""

FAMILIES = {
    "addition": "scaling.data.tasks.families.addition",  # of two numbers; difficulty: digits
    "reversed-addition": "scaling.data.tasks.families.reversed_addition",  # the sum's lowest digit first; digits
    "multiplication": "scaling.data.tasks.families.multiplication",  # of two numbers; digits
    "modular": "scaling.data.tasks.families.modular",  # addition modulo the difficulty
    "sorting": "scaling.data.tasks.families.sorting",  # of letters; how many
    "copying": "scaling.data.tasks.families.copying",  # of letters; how many
    "induction": "scaling.data.tasks.families.induction",  # the letter that followed before; letters
    "recall": "scaling.data.tasks.families.recall",  # the value of a key; pairs
    "regression": "scaling.data.tasks.families.regression",  # a linear function from its values; inputs
    "labelling": "scaling.data.tasks.families.labelling",  # names of classes, learned in context; classes
    "lookup": "scaling.data.tasks.families.lookup",  # steps through a table; hops
    "brackets": "scaling.data.tasks.families.brackets",  # closing brackets; depth
}
