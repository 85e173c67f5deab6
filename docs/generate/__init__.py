"""Build hooks of the documentation site: generated reference pages, executed notebooks, formulas and the link check.

`hooks.py` is loaded by MkDocs (docs/mkdocs.yml); `make docs` runs it. Nothing in it is part of the wheel.
"""
