"""Sparse autoencoders for tests: known ones, known dictionaries, and a store whose errors follow a law."""
