"""Laws of learning curves as functions of the amount of data, and of loss curves under a learning-rate schedule."""
