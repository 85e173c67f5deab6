"""Papers: all numbers of a fit as LaTeX macros, tables, figures and a methods paragraph, rebuilt by one command.

`build.write_paper` writes a paper's files. `macros` names the numbers, `tables` and `figures` turn those of the report
into LaTeX, `methods` states how the numbers were computed, `provenance` states what they come from. `latex` escapes all
text. `options` has the venues.
"""
