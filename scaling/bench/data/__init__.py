"""Measurements of data: preparation of a corpus (`prepare`), reading of tokens from an object store (`read`).

`object_store` is a server with delays, `options` has the options of both.
"""
