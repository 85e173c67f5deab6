"""Runs the code blocks of the README and of the pages of the site as a reader would.

`page` runs a page: `blocks` reads its blocks, `session` runs them in one empty folder, and `output` compares and
renews the outputs that it shows. `figures` does so for the figures that the page makes. `commands` checks command
lines with the programs' own parsers, `trained_store` trains the small store that pages use, and `site` builds the
site. CONTRIBUTING.md, "Code blocks in pages", says what the titles of blocks mean.
"""
