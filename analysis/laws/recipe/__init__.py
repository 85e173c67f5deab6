"""Laws of the best choices at a scale: compute-optimal sizes, learning rates and batch sizes."""
