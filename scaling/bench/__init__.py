"""Measurements of the program itself: training speed of models (`bench`), autoencoders (`sae`), coordinate checks."""
