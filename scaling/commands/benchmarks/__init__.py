"""`python -m scaling bench` and its kinds, one module each; `bench` has the training speed of models and the parser."""
