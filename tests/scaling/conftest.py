"""Fixtures of the tests of scaling."""

from scaling.program import compile_cache

# Every program that a test compiles is found by the next run of the tests; most take less than the 0.3 s from which on
# the trainer keeps one.
compile_cache.MIN_COMPILE_SECONDS = 0.0
