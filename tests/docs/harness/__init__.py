"""Runs the code blocks of the README and of the pages of the site as a reader would.

`page` runs a page: `blocks` reads its blocks, `session` runs them in one empty folder, and `output` compares and renews
the outputs that it shows. `commands` checks command lines with the programs' own parsers, and `trained_store` trains
the small store that pages use. CONTRIBUTING.md, "Code blocks in pages", says what the titles of blocks mean.
"""
