"""Laws of one learning curve in the amount of data, and laws of loss curves under a learning-rate schedule."""
