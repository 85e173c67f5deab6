"""Sections of a report that only some stores have, one module each: sealed forecasts and sparse autoencoders."""
