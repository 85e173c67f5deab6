"""The task families, one module each; scaling/data/tasks/__init__.py registers them and says what a module defines."""
