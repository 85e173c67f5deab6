"""Parts of the command `evaluate`: its runs one after the other, and the options of the lm-evaluation-harness."""
