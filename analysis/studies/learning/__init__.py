"""Studies of learning: health of the learning curves of a sweep, and how the best learning rate changes with size."""
