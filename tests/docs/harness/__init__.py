"""Runs the code blocks of the README and of the pages of the site as a reader would.

`page` runs a page: `blocks` reads its blocks, `session` runs them in one empty folder, `output` compares and rewrites the
outputs that a page shows, `commands` checks command lines with the programs' own parsers, and `trained_store` trains
the small store that pages use. What the marks of a block mean is in CONTRIBUTING.md, "Code blocks in pages".
"""
