"""Reads records, never trains: points, laws, fits with their doubt, figures, reports."""
