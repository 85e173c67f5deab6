"""Laws of the loss in parameters, tokens, steps or compute, one family per file."""
