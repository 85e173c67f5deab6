"""Laws of the loss as a function of parameters, tokens, steps or compute, one family per module."""
