"""Stores at an address that fsspec supports (s3://, gs://, ...).

`store` has `RemoteStore`, whose files are copied to a local folder, and `files` the operations on files at an address.
"""
