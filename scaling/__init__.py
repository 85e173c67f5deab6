"""Trains one run: config in, record out."""
