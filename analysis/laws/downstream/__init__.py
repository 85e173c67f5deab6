"""Laws of the error or accuracy on tasks."""
