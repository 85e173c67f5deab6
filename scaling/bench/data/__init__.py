"""Measurements of data: reading tokens from an object store (`read`, `object_store`)."""
