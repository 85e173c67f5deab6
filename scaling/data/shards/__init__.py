"""Sharded corpora: the tokens of a large corpus in files of some 256M tokens, in a folder or a bucket.

`manifest` describes a sharded corpus, `writer` writes its shards, in several processes and again after a kill.
"""
