"""Laws of optimal training choices: compute-optimal sizes, learning rates and batch sizes."""
