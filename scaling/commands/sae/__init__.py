"""The commands of `python -m scaling sae`, one module each; `group` has the table of them."""
