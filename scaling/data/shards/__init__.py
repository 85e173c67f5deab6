"""Corpora of tokens in files: one token file, or shards of some 256M tokens in a folder or a bucket, with a manifest.

`token_file` has the format of one file, `manifest` describes a sharded corpus, `writer` writes its shards, in several
processes and again after a kill. `reader` reads windows of it: memory-mapped from this machine (`sources`), or fetched
in threads (`fetching`) through a bounded cache (`cache`). `blocks` is an order of windows that reads large pieces,
`permutation` the permutations of both orders.
"""
