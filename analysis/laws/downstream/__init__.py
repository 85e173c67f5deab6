"""Laws of the error or accuracy on downstream tasks."""
