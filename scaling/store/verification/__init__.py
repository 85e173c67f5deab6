"""Verification of the files of a store: nothing that was altered is read as if it were not.

`parquet` writes and reads Parquet files with a SHA-256 of the whole file, `checksum` does the same for records,
`fields` checks the type of each field of a record, and `agreement` compares a record with its config and with its
curve. `masked_crc` is the checksum of TensorBoard's files.
"""
