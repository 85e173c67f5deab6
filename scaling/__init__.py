"""Trains one run of a language model: a config in, a record out. `python -m scaling` lists the commands."""
