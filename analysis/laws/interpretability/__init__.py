"""interpretability."""
